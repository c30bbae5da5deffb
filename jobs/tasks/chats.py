"""Messages of a chat: whether they are as they should be, and where the assistant speaks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unfreeze.jobs.tasks.task import BadRow

Message = Mapping[str, Any]
Span = tuple[int, int]

_FORM = 'expected messages such as {"role": "user", "content": "..."}'


def texts_of_chat(messages: Any, *, new: bool) -> tuple[str, ...]:
    """What is said, by whom. Raises BadRow. In `new` rows the assistant has not spoken yet."""
    if not isinstance(messages, list) or not messages:
        raise BadRow("messages", f"{_FORM}, found {f'{messages!r:.40}' if messages else 'none'}")
    for message in messages:
        if not _is_message(message):
            raise BadRow("messages", f"{_FORM}, found {message!r:.40}")
    speakers = [message["role"] for message in messages]
    if not new and "assistant" not in speakers[1:]:
        raise BadRow("messages", "expected an answer of the assistant, found none")
    if new and speakers == ["assistant"]:
        raise BadRow("messages", "expected something to answer, found none")
    return tuple(f"{message['role']}: {message.get('content') or ''}" for message in messages)


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    return isinstance(message.get("content"), str) or bool(message.get("tool_calls"))


def assistant_spans(
    render: Callable[[Sequence[Message], bool], str], messages: Sequence[Message]
) -> list[Span]:
    """Where in the text of a chat the assistant speaks, in characters, by the prefix difference.

    `render` makes text of messages, and if asked to adds what bids the assistant speak. What the
    assistant says is what its message adds to the bidden text before it. Left out are a message
    that opens the chat, and those that the template writes in another way when more follow (some
    strip old thoughts).
    """
    whole = render(messages, False)
    spans = []
    for i, message in enumerate(messages):
        if message["role"] != "assistant" or i == 0:
            continue
        before, after = render(messages[:i], True), render(messages[: i + 1], False)
        if whole.startswith(after) and after.startswith(before):
            spans.append((len(before), len(after)))
    return spans
