"""Writes a GGUF file of the Phi-3 architecture with random weights, in the shape that `workbench bench` decodes."""
import struct
import sys

import numpy as np

HIDDEN, LAYERS, INNER, HEADS, VOCABULARY = 1024, 4, 2048, 16, 2048
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}


def packed(values, kind):
    """Rows in ggml's layout: blocks of 32 with their scale in front."""
    if kind == "f32":
        return values.astype("<f4").tobytes()
    if kind == "f16":
        return values.astype("<f2").tobytes()
    blocks = values.reshape(-1, 32)
    if kind == "q8_0":
        scale = (np.abs(blocks).max(1, keepdims=True) / 127).astype("<f2")
        levels = np.round(blocks / scale.astype("f4")).clip(-127, 127).astype("i1")
        return np.concatenate([scale.view("u1"), levels.view("u1")], 1).tobytes()
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)
    scale = (extreme / -8).astype("<f2")
    levels = (np.round(blocks / scale.astype("f4")) + 8).clip(0, 15).astype("u1")
    return np.concatenate([scale.view("u1"), levels[:, :16] | levels[:, 16:] << 4], 1).tobytes()


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, value):
    """One key of the header with its type."""
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    first = value[0]
    kind, body = {
        str: (8, b"".join(map(text, value)) if isinstance(first, str) else b""),
        float: (6, struct.pack(f"<{len(value)}f", *value) if isinstance(first, float) else b""),
        int: (5, struct.pack(f"<{len(value)}i", *value) if isinstance(first, int) else b""),
    }[type(first)]
    return text(key) + struct.pack("<IIQ", 9, kind, len(value)) + body


def main(path, kind):
    random = np.random.default_rng(1)
    tensors = []

    def add(name, rows, width, kind):
        values = random.standard_normal((rows, width), dtype="f4") / np.sqrt(width)
        tensors.append((name, [width, rows] if rows > 1 else [width], kind, packed(values, kind)))

    add("token_embd.weight", VOCABULARY, HIDDEN, "f16")
    for i in range(LAYERS):
        add(f"blk.{i}.attn_norm.weight", 1, HIDDEN, "f32")
        add(f"blk.{i}.attn_qkv.weight", 3 * HIDDEN, HIDDEN, kind)
        add(f"blk.{i}.attn_output.weight", HIDDEN, HIDDEN, kind)
        add(f"blk.{i}.ffn_norm.weight", 1, HIDDEN, "f32")
        add(f"blk.{i}.ffn_up.weight", 2 * INNER, HIDDEN, kind)
        add(f"blk.{i}.ffn_down.weight", HIDDEN, INNER, kind)
    add("output_norm.weight", 1, HIDDEN, "f32")
    add("output.weight", VOCABULARY, HIDDEN, "q8_0" if kind == "q4_0" else kind)

    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    pieces += [f"\u2581w{i}" for i in range(VOCABULARY - len(pieces))]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (VOCABULARY - 259)
    keys = {
        "general.architecture": "phi3",
        "general.name": "random",
        "phi3.context_length": 4096,
        "phi3.embedding_length": HIDDEN,
        "phi3.feed_forward_length": INNER,
        "phi3.block_count": LAYERS,
        "phi3.attention.head_count": HEADS,
        "phi3.attention.head_count_kv": HEADS,
        "phi3.attention.layer_norm_rms_epsilon": 1e-5,
        "phi3.rope.dimension_count": HIDDEN // HEADS,
        "phi3.attention.sliding_window": 4096,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.scores": [-float(i) for i in range(VOCABULARY)],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys))
    header += b"".join(entry(key, value) for key, value in keys.items())
    offset, body = 0, b""
    for name, shape, kind, data in tensors:
        header += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TYPES[kind], offset)
        data += b"\0" * (-len(data) % 32)
        body += data
        offset += len(data)
    header += b"\0" * (-len(header) % 32)
    with open(path, "wb") as file:
        file.write(header + body)


main(sys.argv[1], sys.argv[2])
