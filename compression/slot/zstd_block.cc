#include "compression/slot/zstd_block.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "compression/slot_format.h"

namespace weft::compression {
namespace {

// Measured in blocks of 262,144 bytes (sources, with a tokenizer's JSON; doubles, sorted, skewed integers;
// docs/results/2026-11-22-codecs.md): level 1 has 97 to 99.5 % of the ratio of level 3 at 1.4 to 1.6 times
// its rate, and 14 % smaller output than level -1 on text. Level 7 gains 4 to 7 % over level 1, at less than
// a fifth of its rate. No dictionary: one trained on other parts of the same data, or the block before,
// changes the ratio of level 1 by -1.1 to +0.1 %, as blocks of this size are large enough for themselves.
constexpr int kZstdLevel = 1;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_CCtx* compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  return context.get();
}

ZSTD_DCtx* decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  return context.get();
}

}  // namespace

std::size_t encode_zstd(const std::uint8_t* bytes, std::size_t count, std::uint8_t* coded) {
  if (count <= 2 * kPieceAlignment || compressor() == nullptr) return 0;
  const std::size_t room = (count - 1) / kPieceAlignment * kPieceAlignment;
  const std::size_t written = ZSTD_compressCCtx(compressor(), coded, room, bytes, count, kZstdLevel);
  if (ZSTD_isError(written) != 0) return 0;  // it does not become smaller
  const std::size_t padded = (written + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment;
  std::memset(coded + written, 0, padded - written);
  return padded;
}

const char* decode_zstd(const std::uint8_t* coded, std::size_t bytes, std::uint8_t* decoded,
                        std::size_t count) {
  if (decompressor() == nullptr) return "there is no memory for zstd";
  const std::size_t frame = ZSTD_findFrameCompressedSize(coded, bytes);
  if (ZSTD_isError(frame) != 0 || bytes - frame >= kPieceAlignment) return "it is not one zstd frame";
  const std::size_t written = ZSTD_decompressDCtx(decompressor(), decoded, count, coded, frame);
  if (ZSTD_isError(written) != 0) return ZSTD_getErrorName(written);
  return written == count ? nullptr : "its zstd frame holds fewer bytes than the slot says";
}

}  // namespace weft::compression
