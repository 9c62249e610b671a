"""What runs of protocols have in common in the tests: how small ones are made, what each has to leave."""

from neuroplast.protocol import run_protocol


def run_all(folder, settings):
    """Runs of protocols, by name as their settings are, on the numpy target."""
    return {
        name: run_protocol(name, settings=chosen, out=folder / name, target="numpy")
        for name, chosen in settings.items()
    }


def verdicts(module, dataset):
    """Verdicts of a protocol's claims on results, by their names."""
    return {claim.name: claim.measure(dataset)["verdict"] for claim in module.EXPECTED}


def check(traces, claims, texts):
    """Assert that there are so many claims, all the files, and these texts in the figure."""
    assert len(traces.record["claims"]) == claims
    for file in ("figure.png", "figure.svg", "results.nc", "run.json"):
        assert (traces.folder / file).stat().st_size > 1000
    svg = (traces.folder / "figure.svg").read_text()
    assert all(text in svg for text in texts)
