"""The terminal's side of `make bench`: one line a figure, with its goal."""


def section(title):
    print(f"\n{title}")


class Row:
    """A figure, its unit, the goal (None: only stated) and how it is compared, and a note."""

    def __init__(self, title, value, unit="", goal=None, compare="<=", note=""):
        self.title, self.value, self.unit, self.goal, self.compare, self.note = title, value, unit, goal, compare, note

    @property
    def met(self):
        return self.goal is None or (self.value <= self.goal if self.compare == "<=" else self.value >= self.goal)

    def show(self):
        goal = "" if self.goal is None else f"{self.compare} {number(self.goal)}"
        verdict = "" if self.goal is None else "met" if self.met else "MISSED"
        print(f"  {self.title:<46} {number(self.value):>9} {self.unit:<3} {goal:>11} {verdict:<6}  {self.note}".rstrip())


def number(v):
    return f"{v:.0f}" if abs(v) >= 1000 else f"{v:.3g}" if abs(v) < 1 else f"{v:.2f}"
