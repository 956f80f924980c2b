"""A byte-level GPT, trained on the sources of Python's own standard library: real text that is on every machine.

    python gpt.py                      alone: saves as it goes, goes on when started again, saves on SIGTERM
    perdure run gpt.toml               supervised: started again after each crash, preemption or kill
    python gpt.py --help               every setting below is an option

What makes it resumable are the lines that say `run`. An interrupted run ends with the same weights, bit by bit, as
one that was left alone (on CPU, with the same number of threads): dropout, shuffling and the place in the epoch go on
where they were.

The defaults suit two CPU cores for half a minute. On a GPU, scale up what is small here, in this order: the model
(--layers 12 --heads 12 --width 768 --context 1024: 86 million parameters), the batch (--batch 64, and --accumulate
until it fits), the text (--megabytes 20), and put autocast to bfloat16 around the forward pass.
"""

import argparse
import math
import os
import sysconfig
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.utils.data import DataLoader, Dataset

import perdure

VOCABULARY = 256  # a token is a byte

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
add = parser.add_argument
add("--megabytes", type=float, default=0.36, help="how much of the text to read; one token is one byte")
add("--epochs", type=int, default=2)
add("--layers", type=int, default=3)
add("--heads", type=int, default=4)
add("--width", type=int, default=96)
add("--context", type=int, default=64, help="bytes that the model sees at once")
add("--dropout", type=float, default=0.1)
add("--batch", type=int, default=32, help="windows per optimizer update")
add("--accumulate", type=int, default=2, help="parts that each batch is computed in, for less memory")
add("--lr", type=float, default=3e-3, help="peak learning rate")
add("--warmup", type=int, default=20, help="updates until the peak")
add("--clip", type=float, default=1.0, help="largest norm of the gradient")
add("--validate-every", type=int, default=100)
add("--log-every", type=int, default=10)
add("--sample", type=int, default=160, help="bytes to write at the end, with the final weights")
add("--threads", type=int, default=min(2, os.cpu_count() or 1), help="keep the same for the same bits")
add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
add("--every", default=None, help='between checkpoints: "50 steps", "10min"')
add("--dir", default=os.environ.get("PERDURE_CHECKPOINT_DIR", "checkpoints/gpt"), help="of the checkpoints")
add("--out", default=None, help="write the final weights to this file")


class Block(nn.Module):
    """A pre-norm transformer block: causal attention, then a feed-forward layer. (B, T, C) -> (B, T, C)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        by_head = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, heads, C / heads)
        q, k, v = by_head.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.project(attended))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class GPT(nn.Module):
    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.context = args.context
        self.token = nn.Embedding(VOCABULARY, args.width)
        self.place = nn.Embedding(args.context, args.width)
        self.dropout = nn.Dropout(args.dropout)
        self.blocks = nn.Sequential(*(Block(args.width, args.heads, args.dropout) for _ in range(args.layers)))
        self.norm = nn.LayerNorm(args.width)
        self.head = nn.Linear(args.width, VOCABULARY, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        self.token.weight = self.head.weight  # one table for reading and for writing

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) -> logits (B, T, 256) of the byte that comes after each."""
        x = self.token(tokens) + self.place.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(self.dropout(x))))

    def loss(self, windows: Tensor) -> Tensor:
        """The mean cross-entropy in nats of each byte of the windows (B, T + 1) after the first."""
        logits = self(windows[:, :-1])
        return cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())

    @torch.no_grad()
    def write(self, prompt: bytes, length: int) -> bytes:
        """The prompt and `length` bytes drawn after it, by a generator of its own: always the same ones."""
        self.eval()
        device = self.head.weight.device
        tokens, generator = torch.tensor([list(prompt)], device=device), torch.Generator(device).manual_seed(1)
        for _ in range(length):
            chances = (self(tokens[:, -self.context :])[:, -1] / 0.6).softmax(-1)
            tokens = torch.cat([tokens, torch.multinomial(chances, 1, generator=generator)], dim=1)
        return bytes(tokens[0].tolist())


class Windows(Dataset[Tensor]):
    """A text cut into windows of `context` bytes to read, each with the one byte more that is to be foretold."""

    def __init__(self, text: Tensor, context: int) -> None:
        self.text, self.context = text, context

    def __len__(self) -> int:
        return (len(self.text) - 1) // self.context

    def __getitem__(self, index: int) -> Tensor:
        start = index * self.context
        return self.text[start : start + self.context + 1].long()


def load_text(size: int) -> Tensor:
    """The first `size` bytes of the standard library's sources, in the order of their paths, as uint8 (size,)."""
    library = Path(sysconfig.get_paths()["stdlib"])
    paths = [*library.glob("*.py"), *library.glob("*/*.py")]
    text = bytearray()
    for path in sorted(path for path in paths if not path.parent.name.endswith("-packages")):
        text += path.read_bytes()
        if len(text) >= size:
            break
    return torch.frombuffer(text[:size], dtype=torch.uint8)


def relative_lr(update: int, warmup: int, total: int) -> float:
    """The learning rate as a share of its peak: a linear warm-up, then a cosine down to a tenth."""
    if update < warmup:
        return (update + 1) / warmup
    done = (update - warmup) / max(1, total - warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done)))


@torch.no_grad()
def validate(model: GPT, windows: Windows, run: perdure.Run, batches: int = 8, size: int = 64) -> float:
    """The mean loss on the same first windows each time. It draws no random number, and can be interrupted."""
    model.eval()
    losses = []
    for start in range(0, min(len(windows), batches * size), size):
        part = torch.stack([windows[i] for i in range(start, min(start + size, len(windows)))])
        losses.append(model.loss(part.to(model.head.weight.device)).item())
        run.safe_point()
    return sum(losses) / len(losses)


def main() -> None:
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)

    text = load_text(int(args.megabytes * 1e6))
    cut = len(text) * 9 // 10
    training, validation = Windows(text[:cut], args.context), Windows(text[cut:], args.context)
    loader = DataLoader(training, batch_size=args.batch, shuffle=True, drop_last=True)
    total = args.epochs * len(loader)

    model = GPT(args).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: relative_lr(update, args.warmup, total))
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{size:,} parameters, {len(text):,} bytes of text, {total} updates, {args.threads} threads", flush=True)

    with perdure.Run(
        model=model, optimizer=optimizer, scheduler=scheduler, data=loader, every=args.every, dir=args.dir
    ) as run:
        if run.resumed_from_step is not None:
            print(f"resumed at step {run.resumed_from_step}", flush=True)
        since, logged_step = time.perf_counter(), run.step
        for batch in run.batches(loader, epochs=args.epochs):
            model.train()
            optimizer.zero_grad()
            total_loss = 0.0
            for part in batch.to(args.device).chunk(args.accumulate):
                loss = model.loss(part) * (len(part) / len(batch))
                loss.backward()
                total_loss += loss.item()
            nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
            scheduler.step()
            run.report(loss=total_loss, total=total)

            if run.step % args.log_every == 0:
                now = time.perf_counter()
                speed = (run.step - logged_step) * args.batch * args.context / (now - since)
                since, logged_step = now, run.step
                print(f"step {run.step}/{total}: loss {total_loss:.4f}, {speed:,.0f} tokens/s", flush=True)
            if run.step % args.validate_every == 0 or run.step == total:
                print(f"step {run.step}/{total}: validation loss {validate(model, validation, run):.4f}", flush=True)

    if args.out:
        torch.save(model.state_dict(), args.out)
    print(model.write(b"def ", args.sample).decode(errors="replace"), flush=True)


if __name__ == "__main__":
    main()
