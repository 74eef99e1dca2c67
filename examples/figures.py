"""What the pictures of the examples share: colours and axes."""

INK, MUTED, PALE = "#1f2933", "#7b8794", "#d9dee4"
BLUE, ORANGE, RED = "#2563eb", "#e08a00", "#d62f2f"


def frame(axes, title, subtitle=""):
    """Title on the left, what is shown on the right, light axes."""
    axes.set_title(title, loc="left", color=INK, fontweight="bold")
    axes.set_title(subtitle, loc="right", color=MUTED, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, which="both")
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)


def draw_loss(axes, losses, subtitle, unit="step"):
    """Losses on a logarithmic axis."""
    axes.semilogy(range(1, len(losses) + 1), losses, color=BLUE, linewidth=2)
    axes.set_xlim(1, max(2, len(losses)))
    if max(losses) < 20 * min(losses):  # too narrow for powers of ten
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel(unit, color=MUTED)
    frame(axes, "Loss", subtitle)


def draw_text(axes, text, title, known):
    """Draw a text line by line: blue those that are known."""
    lines = text.split("\n")
    axes.axis("off")
    axes.set_title(title, loc="left", color=INK, fontweight="bold")
    axes.set_title("blue: as it was learned", loc="right", color=MUTED, fontsize=9)
    for i, line in enumerate(lines):
        color = BLUE if line in known else INK
        place = 0.97 - i / max(12, len(lines))
        axes.text(0, place, line, family="monospace", color=color, va="top", fontsize=10)
