"""Makes `tests/formats/real`: what Lightning and Hugging Face's Trainer write, of models as small as can be.

    python -m venv other && other/bin/pip install lightning transformers accelerate
    other/bin/python tests/formats/make_real.py

They are large libraries and no dependencies of ours, so what they wrote is kept instead. `VERSIONS.json` says by which.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

REAL = Path(__file__).parent / "real"


def make_lightning(folder: Path) -> None:
    """`epoch=0-step=4.ckpt` and `last.ckpt`, as ModelCheckpoint names them."""
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Tiny(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(2, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            return self.net(batch[0]).square().mean()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters())
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    callback = ModelCheckpoint(dirpath=folder, every_n_train_steps=4, save_top_k=-1, save_last=True)
    trainer = lightning.Trainer(
        max_steps=4, accelerator="cpu", callbacks=[callback], logger=False, enable_progress_bar=False
    )
    trainer.fit(Tiny(), DataLoader(TensorDataset(torch.randn(8, 2)), batch_size=2))


def make_hugging_face(folder: Path) -> None:
    """`checkpoint-4` of a Trainer, and the same with its weights in shards as `checkpoint-6`."""
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    class Texts(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            tokens = torch.arange(index, index + 4) % 16
            return {"input_ids": tokens, "labels": tokens}

    model = GPT2LMHeadModel(GPT2Config(n_embd=4, n_layer=1, n_head=1, vocab_size=16, n_positions=8))
    arguments = TrainingArguments(
        str(folder), max_steps=4, save_steps=4, per_device_train_batch_size=2, report_to=[], use_cpu=True
    )
    Trainer(model, arguments, train_dataset=Texts()).train()
    shutil.copytree(folder / "checkpoint-4", folder / "checkpoint-6")
    (folder / "checkpoint-6" / "model.safetensors").unlink()
    model.save_pretrained(folder / "checkpoint-6", max_shard_size="1KB")


def main() -> None:
    shutil.rmtree(REAL, ignore_errors=True)
    REAL.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in (("lightning", make_lightning), ("hugging_face", make_hugging_face)):
            make(Path(scratch) / name)
            shutil.copytree(Path(scratch) / name, REAL / name)
    versions = {name: version(name) for name in ("torch", "lightning", "transformers", "accelerate")}
    (REAL / "VERSIONS.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
