"""A second decoder of the wire slot, written from compression/FORMAT.md alone. decode(slot) gives the payload.

Slow and plain on purpose. Raises Refused, with what is wrong, for what is not a slot.
"""

import struct

SIZES = {0: 1, 1: 2, 2: 2, 3: 4, 4: 1, 5: 1}
RAW, FAST, DENSE, ARCHIVE = range(4)
BYTES, BF16, FP16, FP32, E4M3, E5M2 = range(6)


class Refused(Exception):
    pass


def need(holds, what):
    if not holds:
        raise Refused(what)


def shape(kind, level):
    """rotated, field bits, lowest bit of the field"""
    if kind in (BF16, FP32):
        return (False, 7, 0) if level == FAST else (True, 8, 0)
    return {FP16: (False, 5, 2), E4M3: (False, 4, 3), E5M2: (False, 5, 2)}[kind]


def rotated_right(value, bits):
    return value >> 1 | (value & 1) << (bits - 1)


def assemble(kind, rotated, raw, high):
    """Elements from raw bytes (the whole array) and high bytes."""
    count, size = len(high), SIZES[kind]
    out = bytearray()
    for i in range(count):
        if size == 1:
            value = high[i]
        elif size == 2:
            value = high[i] << 8 | raw[i]
        else:
            value = high[i] << 24 | raw[2 * count + i] << 16 | raw[2 * i + 1] << 8 | raw[2 * i]
        out += (rotated_right(value, 8 * size) if rotated else value).to_bytes(size, "little")
    return bytes(out)


def tile(data, kind, level):
    rotated, field_bits, lowest = shape(kind, level)
    width = 11 - field_bits
    base, reserved, escapes = struct.unpack_from("<BBH", data)
    need(reserved == 0 and base <= 2**field_bits - 7, "tile header")
    at = 4 + 1024 * (SIZES[kind] - 1)
    raw, planes = data[4:at], data[at : at + 128 * width]
    at += 128 * width
    need(at <= len(data), "tile too short")

    fields = []
    if level == FAST:
        fields = list(data[at : at + escapes])
        at += escapes
    else:
        behind = at + (escapes + 1) // 2
        need(behind <= len(data), "half bytes")
        for i in range(escapes):
            half = data[at + i // 2] >> 4 * (i % 2) & 15
            if half == 15:
                need(behind < len(data), "escape bytes")
                fields.append(data[behind])
                behind += 1
            else:
                fields.append(0 if half == 14 else (base - 1 - half) % 256)
        at = behind
    need((at + 3) // 4 * 4 == len(data) and len(fields) == escapes, "size of the list of escapes")

    columns = [sum(planes[128 * p + j] << 8 * p for p in range(width)) for j in range(128)]
    high, fields = bytearray(), iter(fields)
    for i in range(1024):
        symbol = columns[i % 128] >> width * (i // 128) & (1 << width) - 1
        code = symbol >> lowest & 7
        try:
            field = base + code if code < 7 else next(fields)
        except StopIteration:
            raise Refused("more codes 7 than escapes") from None
        above = symbol >> (lowest + 3)
        high.append((above << (lowest + field_bits) | field << lowest | symbol & (1 << lowest) - 1) & 255)
    need(next(fields, None) is None, "fewer codes 7 than escapes")
    return assemble(kind, rotated, raw, high)


def block(data, kind, elements):
    present = [s for s in range(256) if data[s // 8] >> s % 8 & 1]
    packed = int.from_bytes(data[32 : 32 + (3 * len(present) + 1) // 2], "little")
    frequency = [(packed >> 12 * i & 4095) + 1 for i in range(len(present))]
    need(sum(frequency) == 4096, "frequencies")
    found = []
    for symbol, share in zip(present, frequency):
        found += [(symbol, share, r) for r in range(share)]
    at = (32 + (3 * len(present) + 1) // 2 + 3) // 4 * 4
    states = list(struct.unpack_from("<32I", data, at))
    at += 128
    raw = data[at : at + (SIZES[kind] - 1) * elements]
    at += len(raw)
    words = iter(struct.unpack_from(f"<{(len(data) - at) // 2}H", data, at))
    left, high = (len(data) - at) // 2, bytearray()
    for i in range(elements):
        x = states[i % 32]
        symbol, share, above_start = found[x % 4096]
        x = share * (x // 4096) + above_start
        if x < 65536:
            need(left > 0, "words")
            x, left = 65536 * x + next(words), left - 1
        states[i % 32] = x
        high.append(symbol)
    need(left < 2 and all(x == 65536 for x in states), "end of the block")
    return assemble(kind, SIZES[kind] > 1, raw, high)


def decode(slot, unzstd=None):
    """`unzstd(data, count)` gives the `count` bytes in the zstd frame that begins `data`, behind which there may be padding, or
    raises Refused. Only bytes of unknown type need it."""
    magic, version, level, kind = struct.unpack_from("<2sBBB", slot)
    payload, size = struct.unpack_from("<QQ", slot, 8)
    need((magic, version, bytes(slot[5:8]), bytes(slot[24:32])) == (b"WC", 1, bytes(3), bytes(8)), "header")
    need(level <= 3 and kind <= 5 and size == len(slot), "header")
    if level == RAW:
        need(size == 32 + payload, "raw slot")
        return bytes(slot[32:])
    need(kind != BYTES or level == ARCHIVE, "level of bytes")
    whole = 262144 if kind == BYTES else SIZES[kind] * (65536 if level == ARCHIVE else 1024)
    pieces = (payload + whole - 1) // whole
    width = 4 if level == ARCHIVE else 2
    at, out = (32 + width * pieces + 15) // 16 * 16, []
    for i in range(pieces):
        entry = int.from_bytes(slot[32 + width * i : 32 + width * (i + 1)], "little")
        how, length = entry >> (8 * width - 2), 4 * (entry & (1 << (8 * width - 2)) - 1)
        count = min(whole, payload - i * whole)
        data = bytes(slot[at : at + length])
        need(len(data) == length, "piece")
        at += length
        if how == 0:
            need((count + 3) // 4 * 4 == length, "raw piece")
            out.append(data[:count])
        elif how == 1:
            need(length == 4 and count % SIZES[kind] == 0, "constant piece")
            out.append(data[: SIZES[kind]] * (count // SIZES[kind]))
        elif how == 2 and level == ARCHIVE and kind == BYTES:
            out.append(unzstd(data, count))
            need(len(out[-1]) == count, "content of a zstd frame")
        elif how == 2 and level == ARCHIVE:
            need(count % (1024 * SIZES[kind]) == 0, "elements of a block")
            out.append(block(data, kind, count // SIZES[kind]))
        else:
            need(how == 2 and count == whole, "kind of a piece")
            out.append(tile(data, kind, level))
    need(at == len(slot), "bytes left over")
    return b"".join(out)
