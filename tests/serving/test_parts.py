"""Sections of the report as trees, of which nothing can run."""

from balltrain.reporting.page import figure_html, section, table
from balltrain.serving.parts import title_of, tree_of


def texts(nodes):
    return "".join(node if isinstance(node, str) else texts(node[2]) for node in nodes if not _is_plot(node))


def _is_plot(node):
    return isinstance(node, list) and node[0] == "plot"


def test_figures_are_their_json_and_text_is_text():
    figure = figure_html([{"type": "scatter", "name": "</script><b>"}], {"xaxis": {}}, height=300)
    (node,) = tree_of(
        section("Curves & <i>", f"<div class=grid>{figure}</div>", table(["a"], [["<script>x</script>"]]))
    )
    assert node[0] == "section"
    assert title_of([node]) == "Curves & <i>"
    grid = node[2][1]
    assert grid[1] == {"class": "grid"}
    assert grid[2][0][0] == "plot"
    assert grid[2][0][2][0]["data"][0]["name"] == "</script><b>"
    assert "<script>x</script>" in texts([node])


def test_nothing_that_runs_or_leads_away_is_kept():
    bad = (
        "<p onclick=x() style='a' id=b>one<script>alert(1)</script> two</p><a href='javascript:x()'>link</a>"
        "<iframe src=x>in</iframe><img src='http://evil/x.png' onerror=x()><img src='data:image/svg+xml,x'>"
        "<img alt=p src='data:image/webp;base64,xx'><svg><script>x</script></svg><button>b</button>"
    )
    nodes = tree_of(bad)
    assert nodes[0] == ["p", {}, ["one", " two"]]
    assert "alert" not in str(nodes)
    assert "javascript" not in str(nodes)
    assert "evil" not in str(nodes)
    assert "svg" not in str(nodes)
    assert ["img", {"alt": "p", "src": "data:image/webp;base64,xx"}, []] in nodes
    assert "link" in texts(nodes)
