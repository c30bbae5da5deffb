"""What happens in a job, as it happens: lines, and a progress bar where there is a terminal."""

import time
from typing import Any

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from unfreeze.cli.words import count, duration, metrics, size
from unfreeze.jobs import JobResult
from unfreeze.jobs.verdict import gap

# Without a terminal a progress bar would be a flood; a line this often shows that it lives.
_PLAIN_LINE_EVERY_S = 10.0


class Console:
    """Shows the messages of `run_job`. Use as a context manager."""

    def __init__(self) -> None:
        self._out = RichConsole(highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self._out,
            transient=True,
        )
        self._task: TaskID | None = None
        self._tokens, self._since, self._plain_at = 0, time.monotonic(), 0.0
        self._began = time.monotonic()

    def __enter__(self) -> "Console":
        if self._out.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, message: dict[str, Any]) -> None:
        """One message; kinds that are not known are not shown."""
        handler = getattr(self, f"_show_{message['kind']}", None)
        if handler:
            handler(message)

    def show_end(self, result: JobResult, run: str) -> None:
        """The metrics and where the files are. `run`: what other verbs call it by."""
        if result.was_finished:
            self._line(f"{result.uri} is finished; nothing to do")
        self._line(f"[bold]validation[/]  {metrics(result.validation)}")
        if result.test:
            self._line(f"[bold]test[/]        {metrics(result.test)}")
        self._line(result.data["overfitting"]["words"])
        self._line(f"model   {result.uri}/model")
        self._line(f"report  {result.uri}/report.html")
        if result.uri.startswith("s3://"):
            self._line(f"        unfreeze report {run} --output report.html  fetches it")
        if not result.was_finished:
            self._line(f"done in {duration(time.monotonic() - self._began)}")

    def _line(self, text: str) -> None:
        self._out.print(text)

    def _show_warning(self, message: dict[str, Any]) -> None:
        self._line(f"[yellow]warning[/] {message['text']}")

    def _show_note(self, message: dict[str, Any]) -> None:
        self._line(f"[yellow]note[/] {message['text']}")

    def _show_checked(self, message: dict[str, Any]) -> None:
        rows = ", ".join(f"{count(n)} {name}" for name, n in message["rows"].items())
        self._line(f"checked: {rows} {message['unit_name']}; starting Ray")

    def _show_finished(self, message: dict[str, Any]) -> None:
        self._end_bar()

    def _end_bar(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def _show_started(self, message: dict[str, Any]) -> None:
        self._line(f"{message['job']}: {message['workers']} workers, results in {message['uri']}")

    def _show_resumed(self, message: dict[str, Any]) -> None:
        self._line(f"resumed from the checkpoint of step {count(message['step'])}")

    def _show_leaving(self, message: dict[str, Any]) -> None:
        kept = "in the store" if message["kept"] else "[yellow]not written[/]"
        whence = "there" if message["kept"] else "the newest one"
        why = "more workers fit" if message["asked"] else "a machine goes away"
        self._line(
            f"[yellow]note[/] {why}: the checkpoint of step {count(message['step'])} is {kept}; "
            f"the workers start again from {whence}"
        )

    def _show_again(self, message: dict[str, Any]) -> None:
        self._line(
            f"[yellow]note[/] {escape(message['reason'])} (step {count(message['step'])}); the "
            "workers start again from the newest checkpoint"
        )

    def _show_halved(self, message: dict[str, Any]) -> None:
        self._line(
            f"[yellow]note[/] {escape(message['reason'])}; goes on with micro-batches of "
            f"{message['micro_batch_size']} instead of {message['used']}, the batch stays the same"
        )

    def _show_resized(self, message: dict[str, Any]) -> None:
        self._line(f"[yellow]note[/] {message['workers']} workers instead of {message['before']}")

    def _show_waiting(self, message: dict[str, Any]) -> None:
        self._line(
            f"[yellow]note[/] waits for {message['needs']}; the cluster has room for "
            f"{message['room']} of the workers"
        )

    def _show_phase(self, message: dict[str, Any]) -> None:
        trained, total = message["trained_parameters"], message["total_parameters"]
        steps = message["end_step"] - message["step"]
        self._line(
            f"[bold]phase {message['index']}: {message['name']}[/]  trains {count(trained)} of "
            f"{count(total)} parameters ({trained / total:.1%}), "
            f"{'at most ' if message['plateau'] else ''}{count(steps)} steps, "
            f"rate {message['learning_rate']:g}"
        )
        self._end_bar()
        self._task = self._bar.add_task(message["name"], total=steps, speed="")
        self._first_step = message["step"]
        self._tokens, self._since = 0, time.monotonic()

    def _show_train(self, message: dict[str, Any]) -> None:
        self._tokens += message["tokens"]
        now = time.monotonic()
        speed = f"{self._tokens / max(now - self._since, 1e-9):,.0f} tokens/s"
        loss = f"loss {message['loss']:.4f}"
        if self._task is not None and self._out.is_terminal:
            done = message["step"] - self._first_step
            self._bar.update(self._task, completed=done, speed=f"{loss}  {speed}")
        elif now - self._plain_at >= _PLAIN_LINE_EVERY_S:
            self._plain_at = now
            self._line(f"  step {count(message['step'])}  {loss}  {speed}")

    def _show_validation(self, message: dict[str, Any]) -> None:
        best = "  (best so far)" if message["best"] else ""
        apart = gap(message, "loss", "min")
        self._line(
            f"  step {count(message['step'])}, epoch {message['epoch']:.2f}: validation "
            f"{metrics(message['validation'])}"
            f"{'' if apart is None else f'; loss gap to training {apart:+.4f}'}{best}"
        )

    def _show_checkpoint(self, message: dict[str, Any]) -> None:
        if message["failure"]:
            self._line(
                f"  [yellow]checkpoint of step {count(message['step'])} not written[/]: "
                f"{message['failure']}; the next one will be tried"
            )
        else:
            self._line(
                f"  checkpoint of step {count(message['step'])} committed, "
                f"{size(message['uploaded_bytes'])} uploaded"
            )
