"""An embedding of which only the rows that training reads are trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PartlyTrainedEmbedding(nn.Module):
    """An embedding of which some rows are trained and the others are kept."""

    def __init__(self, whole: nn.Embedding, trained: Tensor) -> None:
        """`whole` is (V, D); `trained` (N,) holds the ids whose rows are parameters."""
        super().__init__()
        self.weight = nn.Parameter(whole.weight.detach()[trained].clone())
        self.padding = whole.padding_idx
        self.kept: Tensor
        self.trained: Tensor
        self.place: Tensor
        self.register_buffer("kept", whole.weight.detach(), persistent=False)
        self.register_buffer("trained", trained, persistent=False)
        place = torch.full((whole.num_embeddings,), -1).index_put_((trained,), torch.arange(len(trained)))
        self.register_buffer("place", place, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D). In training all ids are trained ones."""
        place = self.place[ids]
        if self.training:
            return F.embedding(place, self.weight)
        return torch.where(
            (place >= 0)[..., None], F.embedding(place.clamp(min=0), self.weight), F.embedding(ids, self.kept)
        )

    def whole(self) -> nn.Embedding:
        """The whole embedding, with what was learnt in its place."""
        weight = self.kept.clone()
        weight[self.trained] = self.weight.detach()
        return nn.Embedding(len(weight), weight.shape[1], padding_idx=self.padding, _weight=weight)
