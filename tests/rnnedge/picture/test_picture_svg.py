"""The SVG: well-formed, every text inside of its box, and no box on another."""

from __future__ import annotations

import itertools
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import pytest

from rnnedge.report.picture.model import Box, Edge, Picture
from rnnedge.report.picture.svg import to_svg
from rnnedge_runtime.errors import RnnEdgeError

ADVANCES = {
    278: "ijl", 295: "IJ", 318: " ,.", 337: "/:;|", 352: "f", 361: "-", 390: "()[]", 392: "t",
    401: "!", 411: "r", 500: "*_", 521: "s", 525: "z", 550: "c", 557: "L", 575: "F", 579: "k",
    592: "vxy", 603: "P", 611: "TY", 615: "oae", 636: "EhnuSbdgpq0123456789", 656: "K",
    686: "AVXZB", 698: "RC", 732: "U", 752: "NH", 775: "DG", 787: "OQ", 818: "w", 838: "→×#+<=>",
    863: "M", 974: "m", 989: "W",
}  # fmt: skip
"""DejaVu Sans, thousandths of an em, read from the font file."""


@dataclass(frozen=True)
class Rect:
    x: float
    y: float
    width: float
    height: float

    def holds(self, other: Rect) -> bool:
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.x + other.width <= self.x + self.width
            and other.y + other.height <= self.y + self.height
        )

    def meets(self, other: Rect) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


def rect_of(element: ET.Element) -> Rect:
    return Rect(*(float(element.get(key)) for key in ("x", "y", "width", "height")))


def text_rect(element: ET.Element, size: float) -> Rect:
    """Where a text is drawn: centred, upon its base line."""
    advance = {letter: width for width, letters in ADVANCES.items() for letter in letters}
    mono = "path" in element.get("class", "").split()
    width = sum(602 if mono else advance[letter] for letter in element.text) * size / 1000
    x, y = float(element.get("x")), float(element.get("y"))
    return Rect(x - width / 2, y - 0.76 * size, width, 0.98 * size)


def parse(svg: str) -> ET.Element:
    """The root, without the name space in every tag."""
    return ET.fromstring(svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1))  # noqa: S314


def groups(svg: str, *kinds: str) -> list[ET.Element]:
    return [g for g in parse(svg).iter("g") if g.get("class", "").split()[0] in kinds]


BOXES = ("module", "step", "input", "output", "state")


@pytest.fixture
def svg(u_net) -> str:
    return to_svg(u_net.picture(), name="u-net")


def test_it_is_well_formed_and_names_the_model(svg) -> None:
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" ')
    assert parse(svg).find("title").text == "u-net"


def test_every_box_and_edge_of_the_picture_is_in_it(u_net, svg) -> None:
    picture = u_net.picture()
    assert [g.find("title").text for g in groups(svg, *BOXES)] == [b.title for b in picture.boxes]
    lines = [text.text for g in groups(svg, "edge") for text in g.iter("text")]
    assert lines == [line for e in picture.edges if e.label for line in e.label.split("\n")]
    assert len(groups(svg, "edge")) == len(picture.edges)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_text_is_inside_of_its_box(u_net, depth) -> None:
    for group in groups(to_svg(u_net.picture(depth), name="u-net"), *BOXES, "edge"):
        texts = list(group.iter("text"))
        for text in texts:
            size = 11 if "edge" in group.get("class") else 13 if text.get("class") else 12
            assert rect_of(group.find("rect")).holds(text_rect(text, size)), text.text


@pytest.mark.parametrize("part", ["WWWWWW_mmmm", "illi"])
def test_long_texts_widen_their_box(net, part) -> None:
    module = f"{part}." * 8 + "fill"
    net.output(net.linear(module, "x"), "y", "batch", "time", 8)
    group = groups(to_svg(net.picture(), name="wide"), "module")[0]
    assert rect_of(group.find("rect")).holds(text_rect(group.find("text"), 13))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_box_is_on_another_and_none_is_off_the_page(u_net, depth) -> None:
    svg = to_svg(u_net.picture(depth), name="u-net")
    rects = [rect_of(group.find("rect")) for group in groups(svg, *BOXES)]
    assert not [pair for pair in itertools.combinations(rects, 2) if pair[0].meets(pair[1])]
    page = Rect(*map(float, parse(svg).get("viewBox").split()))
    assert all(page.holds(rect) for rect in rects)


def test_a_loop_and_its_label_are_on_no_box_but_their_own(u_net) -> None:
    svg = to_svg(u_net.picture(), name="u-net")
    boxes = [rect_of(group.find("rect")) for group in groups(svg, *BOXES)]
    labels = [rect_of(rect) for group in groups(svg, "edge") for rect in group.iter("rect")]
    assert not [(label, box) for label in labels for box in boxes if label.meets(box)]
    assert not [pair for pair in itertools.combinations(labels, 2) if pair[0].meets(pair[1])]


def test_an_arrow_ends_where_its_box_begins(net) -> None:
    net.output(net.linear("enc", "x"), "y", "batch", "time", 8)
    svg = to_svg(net.picture(), name="chain")
    into = groups(svg, "edge")[0].find("polygon").get("points").split()[0]
    x, y = map(float, into.split(","))
    box = rect_of(groups(svg, "module")[0].find("rect"))
    assert box.x < x < box.x + box.width
    assert y == pytest.approx(box.y, abs=1.5)


def test_boxes_of_a_frame_follow_the_data_downwards(svg) -> None:
    tops = {g.find("title").text: rect_of(g.find("rect")).y for g in groups(svg, "module")}
    decoder = [tops[f"decoder.{level}.up"] for level in range(5)]
    assert decoder == sorted(set(decoder))


def test_a_frame_is_around_its_boxes_and_around_no_others(u_net) -> None:
    svg = to_svg(u_net.picture(), name="u-net")
    root = parse(svg)
    frames = [rect_of(r) for r in root.iter("rect") if r.get("class") == "frame"]
    titles = {g.find("title").text: rect_of(g.find("rect")) for g in groups(svg, "module")}
    for frame, name in zip(frames, ("encoder", "decoder"), strict=True):
        assert {t for t, rect in titles.items() if frame.meets(rect)} == {
            t for t in titles if t.startswith(name)
        }


def test_markup_in_a_name_is_text() -> None:
    picture = Picture((Box("a", "input", '<b> & "c"'),), (Edge("a", "a", "<i>", is_state=True),))
    root = parse(to_svg(picture, name="</title>"))
    assert [t.text for t in root.iter("text")] == ["<i>", '<b> & "c"']
    assert root.find("title").text == "</title>"


def test_it_has_colours_for_dark_pages_and_no_scripts(svg) -> None:
    style = parse(svg).find("style").text
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for kind in (*BOXES, "page", "frame", "edge", "carried"):
        assert f".{kind}" in light
        assert f".{kind}" in dark
    assert "<script" not in svg


def test_the_same_picture_gives_the_same_bytes(u_net, svg) -> None:
    assert to_svg(u_net.picture(), name="u-net") == svg


def test_without_graphviz_the_error_names_the_extra(net, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    net.output(net.linear("enc", "x"), "y", "batch", "time", 8)
    with pytest.raises(RnnEdgeError) as raised:
        to_svg(net.picture(), name="chain")
    assert str(raised.value).splitlines() == [
        "an SVG picture needs the package pygraphviz, which is not installed",
        "  where: --graph",
        '  fix: pip install "rnnedge[draw]", or write Mermaid text: --graph NAME.mmd',
    ]
