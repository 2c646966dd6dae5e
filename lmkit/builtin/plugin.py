"""What lmkit itself provides."""

from __future__ import annotations

from lmkit.builtin.data.config import ArrowConfig, CsvConfig, JsonlConfig, ParquetConfig
from lmkit.builtin.data.hub_config import HubConfig
from lmkit.builtin.data.lines_config import ConllConfig, PairFilesDataConfig, TextConfig
from lmkit.builtin.metrics.config import (
    AccuracyConfig,
    AurocConfig,
    AveragePrecisionConfig,
    BalancedAccuracyConfig,
    BleuConfig,
    BrierConfig,
    CalibrationErrorConfig,
    ChrfConfig,
    CohenKappaConfig,
    ConfusionMatrixConfig,
    ExactMatchConfig,
    F1Config,
    LogLossConfig,
    MccConfig,
    PrecisionConfig,
    RecallConfig,
    SpanF1Config,
    TopKAccuracyConfig,
)
from lmkit.builtin.models.config import EncoderDecoderConfig, LstmConfig, TransformerEncoderConfig
from lmkit.builtin.models.pretrained_config import PretrainedModelConfig
from lmkit.builtin.optimizers.config import AdamConfig, AdamWConfig, SgdConfig
from lmkit.builtin.perturbations.config import CaseConfig, ContractionsConfig, PunctuationConfig, TyposConfig
from lmkit.builtin.schedulers.config import (
    ConstantConfig,
    CosineConfig,
    InverseSqrtConfig,
    LinearConfig,
    PlateauConfig,
)
from lmkit.builtin.searches.config import GridConfig, RandomConfig, SobolConfig
from lmkit.builtin.tasks.config import TextClassificationConfig, TokenClassificationConfig, TranslationConfig
from lmkit.builtin.tokenizers.config import (
    BpeConfig,
    ByteConfig,
    ByteLevelBpeConfig,
    CharConfig,
    PretrainedTokenizerConfig,
    UnigramConfig,
    WhitespaceTokenizerConfig,
    WordpieceConfig,
)
from lmkit.builtin.trackers.config import CsvTrackerConfig, TensorboardConfig, WandbConfig
from lmkit.builtin.transforms.config import (
    LowerCaseConfig,
    ReplaceConfig,
    StopWordsConfig,
    StripHtmlConfig,
    UnicodeConfig,
    WhitespaceConfig,
)
from lmkit.component import Component
from lmkit.hookspecs import hookimpl


@hookimpl
def provide_data() -> list[Component]:
    return [
        Component(CsvConfig, build="lmkit.builtin.data.files:build_csv"),
        Component(JsonlConfig, build="lmkit.builtin.data.files:build_jsonl"),
        Component(ParquetConfig, build="lmkit.builtin.data.files:build_parquet"),
        Component(ArrowConfig, build="lmkit.builtin.data.files:build_arrow"),
        Component(TextConfig, build="lmkit.builtin.data.lines:build_text"),
        Component(ConllConfig, build="lmkit.builtin.data.conll:build_conll"),
        Component(PairFilesDataConfig, build="lmkit.builtin.data.pairs:build_pair_files"),
        Component(HubConfig, build="lmkit.builtin.data.hub:build_hub"),
    ]


@hookimpl
def provide_transforms() -> list[Component]:
    return [
        Component(LowerCaseConfig, build="lmkit.builtin.transforms.text:build_lower_case"),
        Component(UnicodeConfig, build="lmkit.builtin.transforms.text:build_unicode"),
        Component(WhitespaceConfig, build="lmkit.builtin.transforms.text:build_whitespace"),
        Component(StripHtmlConfig, build="lmkit.builtin.transforms.html:build_strip_html"),
        Component(ReplaceConfig, build="lmkit.builtin.transforms.text:build_replace"),
        Component(StopWordsConfig, build="lmkit.builtin.transforms.stop_words:build_stop_words"),
    ]


@hookimpl
def provide_tasks() -> list[Component]:
    return [
        Component(TextClassificationConfig, build="lmkit.builtin.tasks.text_classification:TextClassification"),
        Component(TokenClassificationConfig, build="lmkit.builtin.tasks.token_classification:TokenClassification"),
        Component(TranslationConfig, build="lmkit.builtin.tasks.translation:Translation"),
    ]


@hookimpl
def provide_tokenizers() -> list[Component]:
    return [
        Component(PretrainedTokenizerConfig, build="lmkit.builtin.tokenizers.pretrained:build_pretrained"),
        Component(WordpieceConfig, build="lmkit.builtin.tokenizers.fitted:build_wordpiece"),
        Component(BpeConfig, build="lmkit.builtin.tokenizers.fitted:build_bpe"),
        Component(ByteLevelBpeConfig, build="lmkit.builtin.tokenizers.fitted:build_byte_level_bpe"),
        Component(UnigramConfig, build="lmkit.builtin.tokenizers.unigram:build_unigram"),
        Component(CharConfig, build="lmkit.builtin.tokenizers.whole:build_char"),
        Component(ByteConfig, build="lmkit.builtin.tokenizers.whole:build_byte"),
        Component(WhitespaceTokenizerConfig, build="lmkit.builtin.tokenizers.whole:build_whitespace"),
    ]


@hookimpl
def provide_models() -> list[Component]:
    return [
        Component(PretrainedModelConfig, build="lmkit.builtin.models.pretrained:build_pretrained"),
        Component(TransformerEncoderConfig, build="lmkit.builtin.models.transformer_encoder:build_transformer_encoder"),
        Component(LstmConfig, build="lmkit.builtin.models.lstm:build_lstm"),
        Component(EncoderDecoderConfig, build="lmkit.builtin.models.encoder_decoder:build_encoder_decoder"),
    ]


@hookimpl
def provide_optimizers() -> list[Component]:
    return [
        Component(AdamConfig, build="lmkit.builtin.optimizers.build:build_adam"),
        Component(AdamWConfig, build="lmkit.builtin.optimizers.build:build_adamw"),
        Component(SgdConfig, build="lmkit.builtin.optimizers.build:build_sgd"),
    ]


@hookimpl
def provide_schedulers() -> list[Component]:
    return [
        Component(ConstantConfig, build="lmkit.builtin.schedulers.build:build_constant"),
        Component(LinearConfig, build="lmkit.builtin.schedulers.build:build_linear"),
        Component(CosineConfig, build="lmkit.builtin.schedulers.build:build_cosine"),
        Component(InverseSqrtConfig, build="lmkit.builtin.schedulers.build:build_inverse_sqrt"),
        Component(PlateauConfig, build="lmkit.builtin.schedulers.build:build_plateau"),
    ]


@hookimpl
def provide_metrics() -> list[Component]:
    return [
        Component(AccuracyConfig, build="lmkit.builtin.metrics.classification:build_accuracy"),
        Component(PrecisionConfig, build="lmkit.builtin.metrics.classification:build_precision"),
        Component(RecallConfig, build="lmkit.builtin.metrics.classification:build_recall"),
        Component(F1Config, build="lmkit.builtin.metrics.classification:build_f1"),
        Component(MccConfig, build="lmkit.builtin.metrics.classification:build_mcc"),
        Component(BalancedAccuracyConfig, build="lmkit.builtin.metrics.classification:build_balanced_accuracy"),
        Component(CohenKappaConfig, build="lmkit.builtin.metrics.classification:build_cohen_kappa"),
        Component(LogLossConfig, build="lmkit.builtin.metrics.probabilities:build_log_loss"),
        Component(BrierConfig, build="lmkit.builtin.metrics.probabilities:build_brier"),
        Component(CalibrationErrorConfig, build="lmkit.builtin.metrics.probabilities:build_calibration_error"),
        Component(TopKAccuracyConfig, build="lmkit.builtin.metrics.probabilities:build_top_k_accuracy"),
        Component(AurocConfig, build="lmkit.builtin.metrics.probabilities:build_auroc"),
        Component(AveragePrecisionConfig, build="lmkit.builtin.metrics.probabilities:build_average_precision"),
        Component(ConfusionMatrixConfig, build="lmkit.builtin.metrics.classification:build_confusion_matrix"),
        Component(SpanF1Config, build="lmkit.builtin.metrics.spans:build_span_f1"),
        Component(BleuConfig, build="lmkit.builtin.metrics.text:build_bleu"),
        Component(ChrfConfig, build="lmkit.builtin.metrics.text:build_chrf"),
        Component(ExactMatchConfig, build="lmkit.builtin.metrics.text:build_exact_match"),
    ]


@hookimpl
def provide_perturbations() -> list[Component]:
    return [
        Component(TyposConfig, build="lmkit.builtin.perturbations.typos:build_typos"),
        Component(CaseConfig, build="lmkit.builtin.perturbations.case:build_case"),
        Component(PunctuationConfig, build="lmkit.builtin.perturbations.punctuation:build_punctuation"),
        Component(ContractionsConfig, build="lmkit.builtin.perturbations.contractions:build_contractions"),
    ]


@hookimpl
def provide_trackers() -> list[Component]:
    return [
        Component(WandbConfig, build="lmkit.builtin.trackers.wandb:build_wandb"),
        Component(TensorboardConfig, build="lmkit.builtin.trackers.tensorboard:build_tensorboard"),
        Component(CsvTrackerConfig, build="lmkit.builtin.trackers.csv:build_csv"),
    ]


@hookimpl
def provide_searches() -> list[Component]:
    return [
        Component(GridConfig, build="lmkit.builtin.searches.build:build_grid"),
        Component(RandomConfig, build="lmkit.builtin.searches.build:build_random"),
        Component(SobolConfig, build="lmkit.builtin.searches.build:build_sobol"),
    ]
