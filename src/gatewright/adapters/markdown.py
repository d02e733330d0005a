"""Text in Markdown."""

import re


def cell(text: str) -> str:
    """Text that GitHub's Markdown shows as it is: no markup, link, mention or reference."""
    text = " ".join(str(text).split())
    text = re.sub(r"[^ -~\u00a0-\u1fff\u2010-\u2027\u2030-\ufffd\U00010000-\U0001fffd]", "?", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u200b")
    return re.sub(r"([\\`*\[\]#|~!>$]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.)", r"\\\1", text)
