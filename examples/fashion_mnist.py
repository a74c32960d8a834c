"""Which class of Fashion-MNIST is learnt worst, is that chance, and what is it taken for?

Start the service in one terminal and train in another:

    epochscope serve
    python examples/fashion_mnist.py
    python examples/fashion_mnist.py --model cnn
    python examples/fashion_mnist.py --learning-rate 0.02

The last one shows the same model with a class that really is unstable. docs/fashion-mnist.md reads the results.
"""

import argparse
import json
import os
import urllib.request
from typing import Any

import keras
from epochscope.fashion_mnist import load
from epochscope.keras import Monitor

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", choices=["mlp", "cnn"], default="mlp")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--learning-rate", type=float, default=0.001)
parser.add_argument("--data", help="folder of the four idx.gz files, if they lie in no usual place")
parser.add_argument("--url", default=os.environ.get("EPOCHSCOPE_URL", "http://127.0.0.1:7010"))
chosen = parser.parse_args()

data = load(chosen.data)
print(data.source)

# The model and its training, as they would be without epochscope ...
keras.utils.set_random_seed(42)
layers = keras.layers
if chosen.model == "mlp":
    body = [layers.Flatten(), layers.Dense(128, activation="relu")]
else:
    body = [
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
    ]
model = keras.Sequential(
    [keras.Input((28, 28, 1)), layers.Rescaling(1 / 255), *body, layers.Dense(10, activation="softmax")]
)
optimizer = keras.optimizers.Adam(chosen.learning_rate)
model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])

# ... and the one line that it adds.
monitor = Monitor(
    "fashion-mnist", f"{chosen.model} {chosen.learning_rate}", class_names=data.class_names, url=chosen.url
)
history = model.fit(
    data.x_train[..., None],
    data.y_train,
    batch_size=64,
    epochs=chosen.epochs,
    validation_data=(data.x_test[..., None], data.y_test),
    callbacks=[monitor],
).history


def ask(question: str) -> Any:
    """The service's answer about this run."""
    with urllib.request.urlopen(f"{chosen.url}/api/v1/runs/{monitor.run_id}/{question}") as answer:  # noqa: S310
        return json.load(answer)


# What Keras's own History holds after every fit with a Monitor.
print(f"\nLast validation, accuracy {history['val_accuracy'][-1]:.4f}, macro F1 {history['val_macro_f1'][-1]:.4f}")
print(f"{'class':<12} {'recall':>7} {'precision':>10} {'F1':>6}")
for name in data.class_names:
    recall, precision, f1 = (history[f"val_{rate}/{name}"][-1] for rate in ("recall", "precision", "f1"))
    print(f"{name:<12} {recall:>7.3f} {precision:>10.3f} {f1:>6.3f}")
worst = min(data.class_names, key=lambda name: history[f"val_f1/{name}"][-1])
index = data.class_names.index(worst)

# What the service keeps: the counts, and from them every rate with its 95 % interval.
counts = ask(f"confusion?split=val&epoch={chosen.epochs}")["counts"]
taken_for = sorted(zip(counts[index], data.class_names, strict=True), reverse=True)
print(f"\nOf {sum(counts[index]):,} pictures, {worst} is taken for")
print("  " + ", ".join(f"{name} {count}" for count, name in taken_for if name != worst and count))

recall = ask("classes?split=val&by=epoch")["recall"]
print("\nValidation recall by epoch, with its 95 % interval")
for name, *rows in zip(data.class_names, recall["value"], recall["low"], recall["high"], strict=True):
    print(
        f"{name:<12} "
        + "  ".join(f"{value:.3f} [{low:.3f} {high:.3f}]" for value, low, high in zip(*rows, strict=True))
    )
print(f"\n{chosen.url}/runs/{monitor.run_id}")
