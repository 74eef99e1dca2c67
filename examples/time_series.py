"""Forecast a signal with an LSTM that learned the next value of waves, and draw the forecast.

    python examples/time_series.py
    python examples/time_series.py --seed 3 --out results

The last line printed is the root of the mean squared error of the next value on waves that training
never saw.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import BLUE, MUTED, ORANGE, draw_loss, frame
from matplotlib.figure import Figure

import volta
import volta.functional as F
from volta import data, nn, optim

STEPS = 50  # of a wave
STRIDE = 0.25  # between two values


class Forecaster(nn.Module):
    """An LSTM over the values, and a linear map from its outputs to the next ones."""

    def __init__(self, key, hidden=32):
        first, second = F.random.split(key)
        self.lstm = nn.LSTM(1, hidden, batch_first=True, key=first)
        self.head = nn.Linear(hidden, 1, key=second)

    def __call__(self, x, state=None):
        """Predict the value after each, and return the state of the LSTM too."""
        out, state = self.lstm(x, state)
        return x + self.head(out), state


def make_waves(key, count):
    """Sines of any phase and amplitude, a value more than the network reads."""
    phases, amplitudes = F.random.uniform(key, (2, count, 1))
    places = STRIDE * np.arange(STEPS + 1, dtype=np.float32) + 2 * np.pi * phases
    return ((0.5 + amplitudes) * F.sin(places))[..., None]


def loss_fn(model, waves):
    predicted, _ = model(waves[:, :-1])
    return F.mse_loss(predicted, waves[:, 1:])


def train(model, waves, *, epochs, seed):
    """Train `model` in place; return the loss of every epoch."""
    loader = data.DataLoader((waves,), batch_size=32, shuffle=True, seed=seed)
    optimizer = optim.Adam(model, lr=0.01)
    step = volta.value_and_grad(loss_fn)
    losses = []
    with data.progress(range(epochs), desc="training") as bar:
        for _ in bar:
            total = 0.0
            for (batch,) in loader:
                loss, grads = step(model, batch)
                optimizer.step(grads)
                total += float(loss) / len(loader)
            losses.append(total)
            bar.set_postfix(loss=f"{total:.5f}")
    return losses


def forecast(model, start, steps):
    """Values after `start`, each predicted from those before it."""
    predicted, state = model(start[None])
    value, values = predicted[:, -1:], []
    for _ in range(steps):
        values.append(value[0, 0])
        value, state = model(value, state)
    return F.stack(values)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the waves, the weights, the order")
    parser.add_argument("--epochs", type=int, default=30, help="passes; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    options = parser.parse_args(arguments)

    wave_key, test_key, model_key = F.random.split(F.random.key(options.seed), 3)
    waves, unseen = make_waves(wave_key, 256), make_waves(test_key, 64)
    model = Forecaster(model_key)
    losses = train(model, waves, epochs=options.epochs, seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "time_series.png"
    draw(picture, losses, unseen[:3], model)
    print(f"drew {picture}")
    result = float(F.sqrt(loss_fn(model, unseen)))
    print(f"error of the next value: {result:.4f}")
    return result


def draw(path, losses, waves, model):
    """Draw how training went, and forecasts of waves of which the first half is known."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    panels = [["loss", name] for name in "abc"]
    axes = figure.subplot_mosaic(panels, width_ratios=[1, 1.5])
    draw_loss(axes["loss"], losses, "mean squared error of the next value", "epoch")
    half = STEPS // 2
    for name, wave in zip("abc", waves, strict=True):
        ahead = forecast(model, wave[:half], STEPS + 1 - half)
        places = np.arange(STEPS + 1)
        own = axes[name]
        own.plot(places, wave, color=MUTED, linewidth=4, alpha=0.45, label="wave")
        own.plot(places[:half], wave[:half], color=BLUE, linewidth=2, label="known")
        own.plot(places[half:], ahead, color=ORANGE, linewidth=2, label="forecast")
        frame(own, "Forecast of 26 values, from its own" if name == "a" else "")
    axes["a"].legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.95))
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
