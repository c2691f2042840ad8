"""The second module of ``global_writer_in_two_modules.py``: it takes the same writer by itself."""

from tensorboardX import GlobalSummaryWriter


def evaluate(step: int) -> None:
    writer = GlobalSummaryWriter.getSummaryWriter()
    writer.add_scalar("accuracy", step / (step + 5))
    writer.add_text("log", f"greetings from the second module, step {step}")
