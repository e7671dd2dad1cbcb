"""`export`: one of our encoders as a folder that another suite accepts."""

from rich.console import Console

from probe_bench.config import ExportConfig
from probe_bench.encoders.export.write import export_encoder
from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.errors import UserError
from probe_bench.folders import make_folder
from probe_bench.resolve import resolve

__all__ = ["export"]


def export(config: ExportConfig) -> int:
    """Load an encoder and write it for another suite.

    Raises:
        UserError: If the encoder is not ours, the folder holds something, or the format does not
            take the encoder's rate or layers.
    """
    encoder = resolve(config.reference, config.seed)
    if not isinstance(encoder, JepaEncoder):
        raise UserError(
            f"{config.reference}: not a JEPA of ours, which alone can be exported; expected a bundled "
            "system (`probe-bench list systems`) or a checkpoint of `probe-bench pretrain`"
        )
    folder = make_folder(config.out)
    if any(folder.iterdir()):
        raise UserError(
            f"{folder}: not empty; an export begins with an empty folder; choose another --out"
        )
    try:
        export_encoder(encoder, config.format, config.layer, folder)
    except BaseException:
        for file in folder.iterdir():  # half an export is none, and the folder was empty
            file.unlink()
        raise
    console = Console()
    console.print(
        f"{config.format}: {folder} (how to use it: {folder / 'README.md'})", soft_wrap=True
    )
    return 0
