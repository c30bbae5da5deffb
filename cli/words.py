"""Numbers as people read them."""


def size(num_bytes: float) -> str:
    """1234567 -> "1.2 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """134.2 -> "2 min 14 s"."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int) -> str:
    """148994 -> "148,994"."""
    return f"{number:,}"


def metrics(scores: dict[str, float]) -> str:
    """accuracy 0.8412, f1 0.8410, loss 0.3634."""
    return ", ".join(f"{key} {scores[key]:.4f}" for key in scores if key != "rows")
