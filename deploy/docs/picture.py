"""Draws what `tidemark demo --once` shows on a terminal, as deploy/docs/demo.svg.

    python3 deploy/docs/picture.py [PATH-OF-TIDEMARK]

The program runs on a terminal of our own, so the picture is what a person sees, bars and colours
included; only the token is left out. Nothing but the standard library is used.
"""

import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLUMNS, ROWS = 110, 200
CHARACTER, LINE, MARGIN = 8.4, 18, 16  # pixels
PAPER, INK = "#0d1117", "#e6edf3"
COLOURS = {31: "#ff7b72", 32: "#3fb950", 33: "#d29922", 34: "#58a6ff", 35: "#bc8cff", 36: "#39c5cf"}
ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[()][A-Z0-9]|\x1b[=>78]")


def run(program):
    """Runs the demo on a terminal and returns everything it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    own = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    child = subprocess.Popen([program, "demo", "--once"], stdin=theirs, stdout=theirs, stderr=theirs, env=own)
    os.close(theirs)
    written = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not some:
            break
        written += some
    if child.wait() != 0:
        sys.exit(f"the demo failed:\n{written.decode(errors='replace')}")
    return written.decode()


def screen(text):
    """Plays the text on a screen; returns its lines as (character, colour) cells."""
    lines, row, column, colour = [[]], 0, 0, None

    def line():
        while len(lines) <= row:
            lines.append([])
        return lines[row]

    at = 0
    while at < len(text):
        escape = ESCAPE.match(text, at)
        if escape:
            at = escape.end()
            numbers, what = escape.group(1) or "", escape.group(2)
            first = int(numbers) if numbers.isdigit() else 1
            if what == "m":
                for code in (int(one or 0) for one in numbers.split(";")):
                    colour = None if code in (0, 39) else code - 60 if code in range(91, 97) else code if code in COLOURS else colour
            elif what == "A":
                row = max(0, row - first)
            elif what == "B":
                row += first
            elif what == "C":
                column += first
            elif what == "G":
                column = first - 1
            elif what == "K":
                if numbers in ("1", "2"):
                    line()[:] = []
                else:
                    del line()[column:]
            elif what == "J":
                del line()[column:]
                del lines[row + 1:]
            continue
        character = text[at]
        at += 1
        if character == "\n":
            row += 1
            line()
        elif character == "\r":
            column = 0
        elif character >= " ":
            if column == COLUMNS:
                row, column = row + 1, 0
            cells = line()
            cells.extend([(" ", None)] * (column + 1 - len(cells)))
            cells[column] = (character, colour)
            column += 1
    return lines


def draw(lines):
    """Returns the SVG of a screen."""
    while lines and not "".join(cell[0] for cell in lines[-1]).strip():
        lines.pop()
    width = round(2 * MARGIN + CHARACTER * max(map(len, lines)))
    height = 2 * MARGIN + LINE * len(lines)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        "<title>What tidemark demo shows</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14" fill="{INK}" xml:space="preserve">',
    ]
    for number, cells in enumerate(lines):
        y = MARGIN + LINE * number + 13
        start = 0
        while start < len(cells):
            end = start
            while end < len(cells) and cells[end][1] == cells[start][1]:
                end += 1
            text = "".join(cell[0] for cell in cells[start:end])
            if text.strip():
                x = MARGIN + CHARACTER * start
                fill = f' fill="{COLOURS[cells[start][1]]}"' if cells[start][1] else ""
                length = CHARACTER * (end - start)
                out.append(f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"{fill}>{html.escape(text, quote=False)}</text>')
            start = end
    out += ["</g>", "</svg>", ""]
    return "\n".join(out)


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "target/debug/tidemark"
    text = re.sub(r"tm_[A-Za-z0-9_-]{8,}", "tm_…", run(program))
    picture = draw(screen(text))
    (HERE / "demo.svg").write_text(picture, encoding="utf-8")
    print(f"deploy/docs/demo.svg: {len(picture.encode()) // 1024} KB")


if __name__ == "__main__":
    main()
