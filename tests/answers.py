"""Workers of benchmarks that answer without measuring."""


class Answers:
    """Stands for `neuroplast.bench.worker.Worker`.

    Subclasses say `factors`, how many times as long each contender takes (others are not installed), what each has
    `learned`, the `memory` in bytes, and ``seconds(batch)`` of a step.
    """

    def __init__(self, name, core, options):
        self.name, self.options = name.partition("_")[2], options

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def value(self, batch, dtype, name):
        if self.name not in self.factors:
            return {"error": "torch not installed: pip install neuroplast[bench]"}
        return {"value": self.memory if name == "memory" else self.learned[self.name]}

    def measure(self, batch, dtype, steps):
        if self.name not in self.factors:
            return {"error": "torch not installed: pip install neuroplast[bench]"}
        return {"seconds": self.seconds(batch), "share": 1.0, "about": f"{self.name} 1"}
