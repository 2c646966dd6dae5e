"""Every optimizer beside its paper's formula, in plain torch and double precision, under a rate that changes.

A reference takes a parameter, its gradients, the rate of each step and the weight decay, and gives the parameter
after the last step. `t` counts steps from 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmkit.component import build
from lmkit_optimizers.plugin import provide_optimizers

Reference = Callable[[Tensor, Sequence[Tensor], Sequence[float], float], Tensor]

PROVIDED = {component.name: component for component in provide_optimizers()}
LR, DECAY = 0.01, 0.1
RATES = [LR * factor for factor in (0.5, 1.0, 1.0, 0.7, 0.4, 0.4, 0.2, 0.1)]


def linear() -> nn.Linear:
    """A matrix (3, 4) and a vector (3,)."""
    torch.manual_seed(0)
    return nn.Linear(4, 3).double()


def gradients() -> dict[str, list[Tensor]]:
    """As many noisy gradients as there are rates, of one direction on the whole."""
    torch.manual_seed(1)
    shapes = {name: parameter.shape for name, parameter in linear().named_parameters()}
    means = {name: torch.randn(shape).double() for name, shape in shapes.items()}
    return {name: [mean + torch.randn(mean.shape).double() / 2 for _ in RATES] for name, mean in means.items()}


def stepped(use: str, rates: Sequence[float] = RATES, **settings: Any) -> tuple[nn.Linear, torch.optim.Optimizer]:
    """The layer after a step for each rate, and the optimizer."""
    layer, given = linear(), gradients()
    config = PROVIDED[use].config.model_validate({"use": use, "lr": LR, "weight_decay": DECAY, **settings})
    optimizer = build(PROVIDED[use], config, model=layer, parameters=list(layer.named_parameters()))
    for step, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for name, parameter in layer.named_parameters():
            parameter.grad = given[name][step].clone()
        optimizer.step()
    return layer, optimizer


def assert_follows(reference: Reference, use: str, atol: float = 1e-7, **settings: Any) -> None:
    """Matrices with decay, vectors without, both as the reference says."""
    layer, _ = stepped(use, **settings)
    start, given = linear(), gradients()

    for name, decay in (("weight", DECAY), ("bias", 0.0)):
        expected = reference(start.get_parameter(name).detach(), given[name], RATES, decay)
        torch.testing.assert_close(layer.get_parameter(name).detach(), expected, atol=atol, rtol=1e-6)


def adamw(
    x: Tensor,
    gradients: Sequence[Tensor],
    rates: Sequence[float],
    decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    cautious: bool = False,
) -> Tensor:
    """Loshchilov & Hutter, 2019."""
    m, v = torch.zeros_like(x), torch.zeros_like(x)
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        u = m / (1 - betas[0] ** t) / ((v / (1 - betas[1] ** t)).sqrt() + 1e-8)
        u = masked(u, g) if cautious else u
        x = x - lr * (u + decay * x)
    return x


def masked(u: Tensor, g: Tensor) -> Tensor:
    """The step u where it agrees with the gradient g, enlarged by what is left out (Liang et al., 2024)."""
    agrees = (u * g > 0).double()
    return u * agrees * agrees.numel() / (agrees.sum() + 1)


def rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


@pytest.mark.parametrize("cautious", [False, True])
def test_lion(cautious: bool) -> None:
    """Chen et al., 2023, algorithm 2."""

    def lion(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m = torch.zeros_like(x)
        for g, lr in zip(gradients, rates, strict=True):
            u = (0.9 * m + 0.1 * g).sign()
            u = masked(u, g) if cautious else u
            x = x - lr * (u + decay * x)
            m = 0.99 * m + 0.01 * g
        return x

    assert_follows(lion, "lion", cautious=cautious)


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon(nesterov: bool) -> None:
    """Jordan et al., 2024, with the scale of Liu et al., 2025, equation 4. Newton-Schulz iterations act on the
    singular values alone; the library computes them in bfloat16."""

    def muon(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        if x.ndim < 2:
            return adamw(x, gradients, rates, decay, betas=(0.9, 0.95))
        m = torch.zeros_like(x)
        for g, lr in zip(gradients, rates, strict=True):
            m = 0.95 * m + 0.05 * g
            left, s, right = torch.linalg.svd(0.95 * m + 0.05 * g if nesterov else m, full_matrices=False)
            s = s / s.norm()
            for _ in range(5):
                s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
            x = x - lr * (0.2 * math.sqrt(max(x.shape)) * left @ s.diag() @ right + decay * x)
        return x

    assert_follows(muon, "muon", atol=LR / 50, nesterov=nesterov)


@pytest.mark.parametrize(("scaled", "momentum"), [(False, None), (True, None), (False, 0.9)])
def test_adafactor(scaled: bool, momentum: float | None) -> None:
    """Shazeer & Stern, 2018, algorithms 4 and 5."""

    def adafactor(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        rows, columns, squares, m = 0.0, 0.0, 0.0, torch.zeros_like(x)
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            beta, alpha = 1 - t**-0.8, lr * float(rms(x).clamp(min=1e-3)) if scaled else lr
            if x.ndim < 2:
                squares = beta * squares + (1 - beta) * g**2
            else:
                rows = beta * rows + (1 - beta) * (g**2).sum(1, keepdim=True)
                columns = beta * columns + (1 - beta) * (g**2).sum(0, keepdim=True)
                squares = rows @ columns / rows.sum()
            u = g / squares.sqrt()
            u = u / max(1.0, float(rms(u)))
            m = u if momentum is None else momentum * m + (1 - momentum) * alpha * u
            x = x - alpha * decay * x - (alpha * u if momentum is None else m)
        return x

    assert_follows(adafactor, "adafactor", scale_by_size=scaled, momentum=momentum)


def test_came() -> None:
    """Luo et al., 2023, algorithm 2."""

    def factored(rows: Tensor, columns: Tensor) -> Tensor:
        return rows[:, None] @ columns[None] / rows.sum()

    def came(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m, v = torch.zeros_like(x), torch.zeros_like(x)
        rows, columns, rough, uneven = 0.0, 0.0, 0.0, 0.0
        for g, lr in zip(gradients, rates, strict=True):
            if x.ndim < 2:
                v = 0.999 * v + 0.001 * g**2
            else:
                rows = 0.999 * rows + 0.001 * (g**2).sum(1)
                columns = 0.999 * columns + 0.001 * (g**2).sum(0)
                v = factored(rows, columns)
            u = g / v.sqrt()
            u = u / max(1.0, float(rms(u)))
            m = 0.9 * m + 0.1 * u
            step = m
            if x.ndim >= 2:
                disagreement = (u - m) ** 2 + 1e-16
                rough = 0.9999 * rough + 0.0001 * disagreement.sum(1)
                uneven = 0.9999 * uneven + 0.0001 * disagreement.sum(0)
                step = m / factored(rough, uneven).sqrt()
            x = x - lr * (step + decay * x)
        return x

    assert_follows(came, "came")


def test_schedule_free_adamw() -> None:
    """Defazio et al., 2024, algorithm 1: gradients are taken at y, and the average x is what is kept."""

    def iterates(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> tuple[Tensor, Tensor]:
        z, v, total, largest = x, torch.zeros_like(x), 0.0, 0.0
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            y = 0.1 * z + 0.9 * x
            v = 0.999 * v + 0.001 * g**2
            z = z - lr * (g / ((v / (1 - 0.999**t)).sqrt() + 1e-8) + decay * y)
            largest = max(largest, lr)
            total += largest**2
            x = (1 - largest**2 / total) * x + largest**2 / total * z
        return x, 0.1 * z + 0.9 * x

    layer, optimizer = stepped("schedule-free-adamw")
    start, given = linear(), gradients()
    expected = {
        name: iterates(start.get_parameter(name).detach(), given[name], RATES, decay)
        for name, decay in (("weight", DECAY), ("bias", 0.0))
    }

    for name, (average, trained) in expected.items():
        torch.testing.assert_close(layer.get_parameter(name).detach(), trained, atol=1e-7, rtol=1e-6)
        optimizer.eval()
        torch.testing.assert_close(layer.get_parameter(name).detach(), average, atol=1e-7, rtol=1e-6)
        optimizer.eval()
        optimizer.train()
        torch.testing.assert_close(layer.get_parameter(name).detach(), trained, atol=1e-7, rtol=1e-6)


def test_prodigy() -> None:
    """Mishchenko & Defazio, 2023, algorithm 4; the estimate d is one of all parameters."""
    start = {name: parameter.detach() for name, parameter in linear().named_parameters()}
    given, now = gradients(), dict(start)
    m, v, s = ({name: torch.zeros_like(x) for name, x in start.items()} for _ in range(3))
    d, r, root = 1e-3, 0.0, math.sqrt(0.999)
    factors = [rate / LR for rate in RATES]
    for t, lr in enumerate(factors):
        g = {name: given[name][t] for name in start}
        r = root * r + (1 - root) * lr * d**2 * sum(float((g[n] * (start[n] - now[n])).sum()) for n in start)
        for name in start:
            s[name] = root * s[name] + (1 - root) * lr * d**2 * g[name]
            m[name] = 0.9 * m[name] + 0.1 * d * g[name]
            v[name] = 0.999 * v[name] + 0.001 * d**2 * g[name] ** 2
            decay = DECAY if name == "weight" else 0.0
            now[name] = now[name] - lr * d * (m[name] / (v[name].sqrt() + d * 1e-8) + decay * now[name])
        d = max(d, r / sum(float(x.abs().sum()) for x in s.values()))

    layer, optimizer = stepped("prodigy", rates=factors, first_estimate=1e-3)

    assert d > 2e-3
    assert optimizer.param_groups[0]["d"] == pytest.approx(d, rel=1e-5)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.detach(), now[name], atol=1e-6, rtol=1e-5)


def test_soap() -> None:
    """Vyas et al., 2024, algorithm 3, before the basis is renewed; the first gradient only sets the basis."""

    def soap(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        first = gradients[0]
        left = right = torch.ones(1, 1).double()
        if x.ndim == 2:
            left, right = torch.linalg.eigh(first @ first.T)[1], torch.linalg.eigh(first.T @ first)[1]
        m, v = torch.zeros_like(x), torch.zeros_like(x)
        for t, (g, lr) in enumerate(zip(gradients[1:], rates[1:], strict=True), 1):
            m = 0.95 * m + 0.05 * g
            turned = left.T @ g @ right if x.ndim == 2 else g
            v = 0.95 * v + 0.05 * turned**2
            u = (left.T @ m @ right if x.ndim == 2 else m) / v.sqrt() * math.sqrt(1 - 0.95**t) / (1 - 0.95**t)
            x = (x - lr * (left @ u @ right.T if x.ndim == 2 else u)) * (1 - lr * decay)
        return x

    assert_follows(soap, "soap", eps=1e-14)


def test_sophia() -> None:
    """Liu et al., 2023, algorithms 1 and 3, with the whole Hessian; the curvature is measured in steps 1, 4 and 7."""
    torch.manual_seed(1)
    batches = [(torch.randn(6, 4).double(), torch.randint(3, (6,))) for _ in RATES]

    def loss_at(weight: Tensor, bias: Tensor, step: int) -> Tensor:
        inputs, labels = batches[step]
        return nn.functional.cross_entropy(inputs @ weight.T + bias, labels)

    now = [parameter.detach() for parameter in linear().parameters()]
    m, h, cut = [torch.zeros_like(x) for x in now], [torch.zeros_like(x) for x in now], []
    for step, lr in enumerate(RATES):
        g = torch.func.grad(loss_at, (0, 1))(*now, step)
        if step % 3 == 0:
            torch.manual_seed(step)
            u = [torch.randn_like(x) for x in now]
            blocks = torch.func.hessian(loss_at, (0, 1))(*now, step)
            for i, row in enumerate(blocks):
                product = sum(torch.tensordot(block, v, v.ndim) for block, v in zip(row, u, strict=True))
                h[i] = 0.9 * h[i] + 0.1 * u[i] * product
        for i, decay in enumerate((DECAY, 0.0)):
            m[i] = 0.96 * m[i] + 0.04 * g[i]
            unclipped = m[i] / (0.5 * h[i]).clamp(min=1e-12)
            now[i] = now[i] - lr * (unclipped.clamp(-1, 1) + decay * now[i])
            cut += (unclipped.abs() > 1).flatten().tolist()

    settings = {"use": "sophia", "weight_decay": DECAY, "gamma": 0.5, "betas": (0.96, 0.9), "measure_every": 3}
    layer, config = linear(), PROVIDED["sophia"].config.model_validate(settings)
    optimizer: Any = build(PROVIDED["sophia"], config, model=layer, parameters=list(layer.named_parameters()))
    for step, lr in enumerate(RATES):
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = loss_at(layer.weight, layer.bias, step)
        assert optimizer.needs_curvature == (step % 3 == 0)
        if optimizer.needs_curvature:
            torch.manual_seed(step)
            optimizer.measure_curvature(loss)
        torch.autograd.backward(loss)
        optimizer.step()

    assert 0.2 < sum(cut) / len(cut) < 0.8
    for parameter, expected in zip(layer.parameters(), now, strict=True):
        torch.testing.assert_close(parameter.detach(), expected, atol=1e-9, rtol=1e-6)


def test_ademamix() -> None:
    """Pagliardini et al., 2024, algorithm 1."""

    def ademamix(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        fast, slow, v = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
        one, three = math.log(0.9), math.log(0.9999)
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            done = t / 5
            beta = min(math.exp(one * three / ((1 - done) * three + done * one)), 0.9999)
            fast = 0.9 * fast + 0.1 * g
            slow = beta * slow + (1 - beta) * g
            v = 0.999 * v + 0.001 * g**2
            u = fast / (1 - 0.9**t) + min(done * 5, 5) * slow
            x = x - lr * (u / ((v / (1 - 0.999**t)).sqrt() + 1e-8) + decay * x)
        return x

    assert_follows(ademamix, "ademamix", warmup_steps=5)


@pytest.mark.parametrize("cautious", [False, True])
def test_ademamix_without_its_slow_mean_is_adamw(cautious: bool) -> None:
    def reference(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        return adamw(x, gradients, rates, decay, cautious=cautious)

    assert_follows(reference, "ademamix", alpha=0.0, cautious=cautious)


def test_adan() -> None:
    """Xie et al., 2022, algorithm 1, with their code's correction of the start."""

    def adan(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m, v, n, last = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x), gradients[0]
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            m = 0.98 * m + 0.02 * g
            v = 0.92 * v + 0.08 * (g - last)
            n = 0.99 * n + 0.01 * (g + 0.92 * (g - last)) ** 2
            u = m / (1 - 0.98**t) + 0.92 * v / (1 - 0.92**t)
            x = (x - lr * u / ((n / (1 - 0.99**t)).sqrt() + 1e-8)) / (1 + lr * decay)
            last = g
        return x

    assert_follows(adan, "adan")


@pytest.mark.parametrize(("power", "cautious"), [(0.25, False), (None, False), (0.25, True)])
def test_adopt(power: float | None, cautious: bool) -> None:
    """Taniguchi et al., 2024, algorithm 2; decay acts in the first step too."""

    def adopt(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m, v = torch.zeros_like(x), gradients[0] ** 2
        x = x - rates[0] * decay * x
        for t, (g, lr) in enumerate(zip(gradients[1:], rates[1:], strict=True), 2):
            bound = math.inf if power is None else t**power
            m = 0.9 * m + 0.1 * (g / v.sqrt().clamp(min=1e-6)).clamp(-bound, bound)
            x = x - lr * ((masked(m, g) if cautious else m) + decay * x)
            v = 0.9999 * v + 0.0001 * g**2
        return x

    assert_follows(adopt, "adopt", clip_power=power, cautious=cautious)


def test_mars() -> None:
    """Yuan et al., 2024, algorithm 3 with the gradient of the last step's batch in place of this one's."""

    def mars(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        if x.ndim < 2:
            return adamw(x, gradients, rates, decay, betas=(0.9, 0.95))
        last, corrected = torch.zeros_like(x), []
        for g in gradients:
            c = g + 0.025 * 0.95 / 0.05 * (g - last)
            corrected.append(c / max(1.0, float(c.norm())))
            last = g
        return adamw(x, corrected, rates, decay, betas=(0.95, 0.99))

    assert_follows(mars, "mars")


def test_stable_adamw() -> None:
    """Wortsman et al., 2023, algorithm 2."""

    def stable(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m, v = torch.zeros_like(x), torch.zeros_like(x)
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            one, two = 0.9 * (1 - 0.9 ** (t - 1)) / (1 - 0.9**t), 0.99 * (1 - 0.99 ** (t - 1)) / (1 - 0.99**t)
            m = one * m + (1 - one) * g
            v = two * v + (1 - two) * g**2
            lr = lr / max(1.0, float((g**2 / v.clamp(min=1e-16)).mean().sqrt()))
            x = x - lr * (m / (v.sqrt() + 1e-8) + decay * x)
        return x

    assert_follows(stable, "stable-adamw")


def test_grams() -> None:
    """Cao et al., 2024, algorithm 1."""

    def grams(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m, v = torch.zeros_like(x), torch.zeros_like(x)
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            u = m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-6)
            x = x - lr * (g.sign() * u.abs() + decay * x)
        return x

    assert_follows(grams, "grams")


def test_radam() -> None:
    """Liu et al., 2020, algorithm 2, adaptive where ρ is above 5 as in the authors' code: here from step 6 on."""

    def radam(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m, v, last = torch.zeros_like(x), torch.zeros_like(x), 2 / (1 - 0.9) - 1
        adaptive = []
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            m = 0.9 * m + 0.1 * g
            v = 0.9 * v + 0.1 * g**2
            rho = last - 2 * t * 0.9**t / (1 - 0.9**t)
            u = m / (1 - 0.9**t)
            if rho > 5:
                factor = math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
                u = factor * u / ((v / (1 - 0.9**t)).sqrt() + 1e-8)
                adaptive.append(t)
            x = x - lr * (u + decay * x)
        assert adaptive == [6, 7, 8]
        return x

    assert_follows(radam, "radam", betas=(0.9, 0.9))


def test_adabelief() -> None:
    """Zhuang et al., 2020, algorithm 2."""

    def adabelief(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m, s = torch.zeros_like(x), torch.zeros_like(x)
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            m = 0.9 * m + 0.1 * g
            s = 0.999 * s + 0.001 * (g - m) ** 2 + 1e-16
            x = x - lr * (m / (1 - 0.9**t) / ((s / (1 - 0.999**t)).sqrt() + 1e-16) + decay * x)
        return x

    assert_follows(adabelief, "adabelief")


def test_lamb() -> None:
    """You et al., 2020, algorithm 2 in its later form without a correction of the start; φ is the norm up to 10."""

    def lamb(x: Tensor, gradients: Sequence[Tensor], rates: Sequence[float], decay: float) -> Tensor:
        m, v = torch.zeros_like(x), torch.zeros_like(x)
        for g, lr in zip(gradients, rates, strict=True):
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            u = m / v.sqrt() + decay * x
            x = x - lr * u * (min(10.0, float(x.norm())) / float(u.norm()) if x.ndim >= 2 else 1.0)
        return x

    assert_follows(lamb, "lamb", eps=1e-14)
