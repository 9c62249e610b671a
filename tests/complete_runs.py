"""What every run of a protocol has to leave."""


def check(traces, claims, texts):
    """Assert that there are so many claims, all the files, and these texts in the figure."""
    assert len(traces.record["claims"]) == claims
    for file in ("figure.png", "figure.svg", "results.nc", "run.json"):
        assert (traces.folder / file).stat().st_size > 1000
    svg = (traces.folder / "figure.svg").read_text()
    assert all(text in svg for text in texts)
