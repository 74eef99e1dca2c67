"""Drawings: boxes apart, arrows that point down, runs, and both formats."""

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.transforms import draw as module

SVG = "{http://www.w3.org/2000/svg}"


def program(params, x):
    weights = np.ones(4)
    h = F.tanh(x @ params["w"]) * weights
    return {"loss": F.sum(h * 2.0), "half": h, "n": 3}


ARGS = {"w": np.ones((3, 4))}, np.ones((2, 3))


def chain(x, n=100):
    for _ in range(n):
        x = F.sin(x)
        x = F.cos(x) + 1.0
    return x


def boxes(drawing):
    root = ElementTree.fromstring(drawing.svg)
    found = []
    for group in root.iter(f"{SVG}g"):
        rect = group.findall(f"{SVG}rect")[-1]
        x, y, width, height = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
        found.append((x, y, width, height, [t.text for t in group.iter(f"{SVG}text")]))
    return root, found


def test_boxes_say_what_they_are():
    _, found = boxes(volta.draw(program)(*ARGS))
    texts = [texts for *_, texts in found]
    first = program.__code__.co_firstlineno
    assert ["params['w']", "float64[3, 4]"] in texts
    assert ["x", "float64[2, 3]"] in texts
    assert ["captured", "float64[4]"] in texts
    assert ["matmul", "float64[2, 4]", f"test_draw.py:{first + 2}"] in texts
    assert ["multiply(·, 2)", "float64[2, 4]", f"test_draw.py:{first + 3}"] in texts
    assert ["sum", "axis=(0, 1)", "float64[]", f"test_draw.py:{first + 3}"] in texts
    assert ["result['half']", "float64[2, 4]"] in texts
    assert ["result['n']", "3"] in texts
    assert len(texts) == 3 + 6 + 3


def test_the_users_line_shows_under_the_pointer():
    svg = volta.draw(program)(*ARGS).svg
    assert "<title>h = F.tanh(x @ params[&quot;w&quot;]) * weights</title>" in svg


@pytest.mark.parametrize("fun", [program, volta.grad(lambda p, x: program(p, x)["loss"])])
def test_boxes_do_not_overlap_and_are_inside(fun):
    root, found = boxes(volta.draw(fun)(*ARGS))
    width, height = float(root.get("width")), float(root.get("height"))
    for (x1, y1, w1, h1, _), (x2, y2, w2, h2, _) in combinations(found, 2):
        assert x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1
    for x, y, w, h, _ in found:
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height


def test_arrows_point_down():
    svg = volta.draw(volta.grad(lambda p, x: program(p, x)["loss"]))(*ARGS).svg
    arrows = re.findall(r'class="arrow" d="M[\d.-]+ ([\d.]+).*?([\d.]+)"', svg)
    assert len(arrows) > 10
    assert all(float(start) < float(end) for start, end in arrows)


def test_few_crossings_are_left():
    def ladder(x, y):
        return F.exp(x) + 1.0, F.exp(y) + 1.0, F.sin(x) * 2.0

    drawn, _ = module._boxes(ladder, volta.trace(ladder)(np.ones(2), np.ones(2)), ["x", "y"], 99)
    layers, _ = module._arrange(drawn)
    links = {id(b): (b.above, b.below) for layer in layers for b in layer}
    assert all(b.layer == a.layer + 1 for layer in layers for a in layer for b in a.below)
    assert module._crossings(layers, links) == 0


def test_isotonic_places_are_the_nearest_that_are_apart():
    layer = [module._Box("other", [("abc", "name")]) for _ in range(3)]
    module._settle(layer, [0.0, 0.0, 500.0], [1.0, 1.0, 1.0])
    gap = layer[0].width + module._ACROSS
    assert layer[1].x - layer[0].x == pytest.approx(gap)
    assert layer[0].x + layer[1].x == pytest.approx(0)
    assert layer[2].x == 500


def test_runs_of_one_line_are_drawn_as_one_box():
    def two_lines(x):
        y = F.exp(F.sin(F.cos(x) * 2.0))
        return F.sum(y) + 1.0

    drawing = volta.draw(two_lines, max_boxes=3)(np.ones(3))
    _, found = boxes(drawing)
    first = two_lines.__code__.co_firstlineno
    assert [
        "y = F.exp(F.sin(F.cos(x) * 2.0))",
        "cos, multiply, sin, exp",
        "… float64[3]",
        f"test_draw.py:{first + 1}, 4 operations",
    ] in [texts for *_, texts in found]
    assert "two_lines: 6 operations in 3 boxes: runs are drawn as one" in drawing.svg
    assert "run of operations" in drawing.svg
    few = volta.draw(two_lines, max_boxes=1)(np.ones(3))
    assert "6 operations in 1 boxes" in few.svg
    assert f"test_draw.py:{first + 1} and 1 more" in few.svg


@pytest.mark.parametrize("most", [1, 7, 40, 299])
def test_long_lists_have_so_many_boxes(most):
    _, found = boxes(volta.draw(chain, max_boxes=most)(np.ones(3)))
    assert len(found) == most + 2
    counts = [int(m[0]) for *_, texts in found if (m := re.findall(r"(\d+) operations", texts[-1]))]
    counts += [
        int(m[0])
        for *_, texts in found
        if not re.search("operations", texts[-1]) and (m := re.findall(r"^(\d+) op", texts[0]))
    ]
    single = most - len(counts)
    assert sum(counts) + single == 300


def test_few_operations_stay_single():
    svg = volta.draw(lambda x: F.exp(F.exp(x)))(np.ones(3)).svg
    assert "2 operations<" in svg
    assert "run of" not in svg
    assert "1 operation<" in volta.draw(F.exp)(np.ones(3)).svg


def test_the_picture_is_the_same_every_time():
    assert volta.draw(program)(*ARGS).svg == volta.draw(program)(*ARGS).svg


def test_names_are_escaped():
    def less(x):
        return F.sum(F.where(x < 1, x, x))  # <&>

    drawing = volta.draw(less)({"<a>": np.ones(2), 'q"': np.ones(1)}["<a>"])
    ElementTree.fromstring(drawing.svg)
    drawing = volta.draw(lambda d: d['q"\\'] * 2)({'q"\\': np.ones(2)})
    ElementTree.fromstring(drawing.svg)
    assert 'q\\"' in drawing.dot


def test_dot_has_the_same_graph():
    drawing = volta.draw(program)(*ARGS)
    assert drawing.dot.startswith("digraph {\n")
    assert drawing.dot.count("[label=") == len(boxes(drawing)[1])
    assert drawing.dot.count(" -> ") == drawing.svg.count('class="arrow" d=')


def test_notebooks_show_it_and_files_take_it(tmp_path):
    drawing = volta.draw(program)(*ARGS)
    assert drawing._repr_svg_() == drawing.svg
    assert repr(drawing) == f"<drawing of {len(drawing.svg)} characters of SVG>"
    drawing.save(tmp_path / "a.svg")
    drawing.save(str(tmp_path / "a.dot"))
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == drawing.svg
    assert (tmp_path / "a.dot").read_text(encoding="utf-8") == drawing.dot
    message = (
        r"^draw: the file must end in \.svg or \.dot; got 'a\.png'\. Browsers and rsvg-convert "
        r"make other formats of an SVG\."
    )
    with pytest.raises(ValueError, match=message):
        drawing.save(tmp_path / "a.png")


def test_a_list_of_nothing():
    _, found = boxes(volta.draw(lambda x: x)(np.ones(2)))
    assert [texts[0] for *_, texts in found] == ["x", "result"]
    _, found = boxes(volta.draw(lambda: 1.0)())
    assert [texts for *_, texts in found] == [["result", "1.0"]]


def test_static_arguments_and_modules():
    layer = volta.nn.Linear(3, 2, key=F.random.key(0))
    drawing = volta.draw(lambda layer, n, x: layer(x) * n, static_argnums=1)(
        layer, 2, np.ones((1, 3), "float32")
    )
    assert "layer[&#x27;weight&#x27;]" in drawing.svg


def test_programs_inside_are_counted():
    def loop(x):
        return volta.scan(lambda c, _: (F.exp(c) * 2.0, c), x, length=3)[1]

    _, found = boxes(volta.draw(loop)(np.ones(2)))
    rows = [texts[:3] for *_, texts in found]
    assert ["scan", "2 operations inside", "float64[2], float64[3, 2]"] in rows


def test_max_boxes_is_checked():
    message = r"^draw\(program\): max_boxes must be at least 1; got 0\."
    with pytest.raises(ValueError, match=message):
        volta.draw(program, max_boxes=0)
