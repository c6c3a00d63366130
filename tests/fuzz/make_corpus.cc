// Writes the seeds of the fuzz targets: make_corpus FOLDER. Run it again when a wire format changes, and
// commit what it writes. Seeds need not be complete, only well formed: the fuzzer finds the rest.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "compression/slot/codec.h"
#include "transport/multipath/frame.h"
#include "transport/tcp/address_codec.h"
#include "transport/tcp/handshake.h"

using namespace weft::tcp;
namespace mp = weft::multipath;

namespace {

using Bytes = std::vector<std::byte>;

class Corpus {
 public:
  Corpus(const std::filesystem::path& root, const std::string& target) : folder_(root / target) {
    std::filesystem::create_directories(folder_);
  }
  void add(const std::string& name, std::initializer_list<int> prefix,
           std::span<const std::byte> bytes) const {
    std::ofstream file(folder_ / name, std::ios::binary);
    for (const int byte : prefix) file.put(static_cast<char>(byte));
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::filesystem::path folder_;
};

std::vector<Endpoint> endpoints() {
  return {{*IpAddress::parse("10.0.0.1"), 4711, 24}, {*IpAddress::parse("fd00::1"), 4712, 64}};
}

void addresses(const Corpus& corpus) {
  corpus.add("two_endpoints", {0}, encode_address(7, endpoints())->bytes);
  corpus.add("to_be_mended", {1}, encode_address(7, endpoints())->bytes);
  corpus.add("empty", {0}, weft::Address().bytes);
}

void handshakes(const Corpus& corpus) {
  Hello hello;
  hello.listener_id = 7;
  hello.total_paths = 4;
  hello.endpoints = endpoints();
  hello.options = {{3, Bytes(4)}};
  Welcome welcome;
  welcome.endpoints = endpoints();
  Welcome refusal;
  refusal.code = RefusalCode::kLimit;
  refusal.text = "full";
  corpus.add("hello", {0, 0}, *encode(hello, false));
  corpus.add("hello_refused", {8, 0}, *encode(hello, false));
  corpus.add("hello_in_pieces", {0, 5}, *encode(hello, false));
  corpus.add("hello_sealed", {6, 0}, *encode(hello, true));
  corpus.add("hello_without_the_secret", {2, 0}, *encode(hello, true));
  corpus.add("welcome", {1, 0}, *encode(welcome, false));
  corpus.add("welcome_sealed", {7, 9}, *encode(welcome, true));
  corpus.add("refusal", {1, 0}, *encode(refusal, false));
  corpus.add("challenge", {1, 0}, encode(Challenge{}));
}

void frames(const Corpus& corpus) {
  mp::FrameHeader coded;
  coded.type = mp::FrameType::kData;
  coded.flags = mp::kFlagCoded;
  coded.chunk_shift = 16;
  coded.message_bytes = 150000;
  coded.offset = 131072;
  coded.length = 150000 - 131072;
  coded.coded_length = 12345;
  std::array<std::byte, mp::kHeaderBytes> coded_bytes{};
  mp::encode(coded, coded_bytes);
  corpus.add("coded", {2}, coded_bytes);
  for (int type = 1; type <= 8; ++type) {
    mp::FrameHeader header;
    header.type = static_cast<mp::FrameType>(type);
    header.slot = 3;
    header.epoch = 1;
    if (header.type == mp::FrameType::kData) header.length = 64;
    std::array<std::byte, mp::kHeaderBytes> bytes;
    mp::encode(header, bytes);
    corpus.add("type_" + std::to_string(type), {type & 1}, bytes);
  }
  mp::FrameHeader with_credit;
  with_credit.type = mp::FrameType::kData;
  with_credit.flags = mp::kFlagCredit;
  with_credit.length = 8;
  with_credit.credit_number = 2;
  with_credit.credit_capacity = 64;
  std::array<std::byte, mp::kHeaderBytes> bytes;
  mp::encode(with_credit, bytes);
  corpus.add("data_with_credit", {1}, bytes);
}

Bytes bytes(std::initializer_list<int> values) {
  Bytes result;
  for (const int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes result;
  for (const Bytes& part : parts) result.insert(result.end(), part.begin(), part.end());
  return result;
}

// A frame of fuzz_endpoint.cc; `type` counts from 0.
Bytes frame(int path, int type, int flags = 0, int message_bytes = 0, int length = 0, int acknowledged = 0,
            bool whole = true) {
  Bytes result = bytes({path << 4 | 2, type, flags, 16, 0, 0, 0, message_bytes & 255, message_bytes >> 8, 0,
                        0, 0, acknowledged, 0});
  if (type == 0) result = joined({result, bytes({length & 255, length >> 8})});
  return joined({result, bytes({whole ? 1 : 0})});
}

// The operations of fuzz_endpoint.cc.
void endpoint_scripts(const Corpus& corpus) {
  const auto script = [&](const char* name, std::initializer_list<int> bytes) {
    corpus.add(name, bytes, {});
  };
  // A frame: operation, type, flags, shift, slot, epoch, offset, bytes (2), sequence, account, tag,
  // acknowledged, credit, length (2, of data only), whole
  script("receive_and_complete",
         {0, 0x00, 64, 0, 0, 0x02, 0, 0, 16, 0, 0, 0, 64, 0, 0, 0, 0, 0, 1, 64, 0, 1, 0x07, 0});
  script("two_chunks_on_two_paths",
         {1,    0x00, 128, 0, 0, 0x02, 0, 0,   6, 0, 0, 0, 128, 0, 0,  0, 0, 0,    1, 64, 0, 1,  //
          0x12, 0,    0,   6, 0, 0,    1, 128, 0, 0, 0, 0, 0,   1, 64, 0, 1, 0x07, 0});
  script("credit_send_acknowledge",
         {0,    0x01, 16, 0, 0, 0x02, 1, 0, 0, 0, 0, 0, 255, 255, 0, 0,    0, 0, 0, 1, 0x09, 9,  //
          0x02, 2,    0,  0, 0, 0,    0, 0, 0, 0, 0, 0, 1,   0,   1, 0x07, 0});
  script("lost_in_the_middle",
         {1,    0x00, 64,   0,  0,    0x02, 0,    0,  16,   0, 0, 0, 64, 0, 0, 0, 0, 0, 1, 64, 0, 0,  //
          0x0a, 1,    0x08, 20, 0x0c, 0,    0x08, 20, 0x07, 0});
  script("path_down", {0, 0x00, 64, 0, 0, 0x12, 3, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0x0b, 1, 0x08, 30});
  script("goodbye", {0, 0x00, 64, 0, 0, 0x02, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x07, 0});
}

// What a hostile peer tried with buffers that are the caller's again: kept, because they once worked.
void endpoint_findings(const Corpus& corpus) {
  const Bytes post_receive = bytes({0x00, 64, 0, 0}), post_send = bytes({0x01, 16, 0, 0}),
              take = bytes({0x07, 0});
  const Bytes credit = frame(0, 1, 0, 0xffff, 0), half = frame(0, 0, 0, 64, 64, 0, false),
              rest = bytes({0x06});
  const Bytes goodbyes = joined({frame(0, 6), frame(1, 6), frame(2, 6), frame(3, 6)});
  const Bytes flush = bytes({0x09, 9, 0x19, 9, 0x29, 9, 0x39, 9});
  const Bytes acknowledge = joined(
      {frame(0, 2, 0, 0, 0, 1), frame(1, 2, 0, 0, 0, 1), frame(2, 2, 0, 0, 0, 1), frame(3, 2, 0, 0, 0, 1)});
  corpus.add("one_chunk_on_two_paths_at_once", {0},
             joined({post_receive, half, frame(1, 0, 0, 64, 64), take, rest}));
  corpus.add("message_ends_shorter_on_another_path", {0},
             joined({post_receive, half, frame(1, 0, 0, 32, 32), take, rest}));
  corpus.add("message_truncated_on_another_path", {0},
             joined({post_receive, half, frame(1, 0, 2, 64, 0), take, rest}));
  corpus.add("acknowledged_before_it_was_sent", {0}, joined({credit, post_send, acknowledge, take, flush}));
  corpus.add("goodbye_before_the_payload_ends", {0},
             joined({post_receive, frame(0, 6), half, frame(1, 6), frame(2, 6), frame(3, 6), take, rest}));
  corpus.add("goodbye_while_data_is_queued", {0}, joined({credit, post_send, goodbyes, take, flush}));
}

// One slot of each level and of each shape of tile, from exponents that spread a little.
void slots(const Corpus& corpus) {
  namespace wc = weft::compression;
  for (int type = 1; type < wc::kElementTypes; ++type) {
    for (int level = 1; level < wc::kLevels; ++level) {
      const auto element = static_cast<wc::ElementType>(type);
      const std::size_t size = wc::element_bytes(element), elements = level == 3 ? 2048 : 1030;
      Bytes payload(elements * size);
      for (std::size_t i = 0; i < elements; ++i)
        payload[i * size + size - 1] = static_cast<std::byte>(56 + (i % 61 == 0 ? 6 : 0) + i % 3);
      Bytes slot(wc::max_slot_bytes(element, static_cast<wc::Level>(level), payload.size()));
      const auto used = wc::pack(payload, element, static_cast<wc::Level>(level), slot);
      slot.resize(*used);
      corpus.add(
          std::string(wc::to_string(element)) + "_" + std::string(to_string(static_cast<wc::Level>(level))),
          {2 | (type & 1)}, slot);
    }
  }
  Bytes text(3000, std::byte{'w'});
  for (std::size_t i = 0; i < text.size(); i += 7) text[i] = static_cast<std::byte>(i & 0xff);
  Bytes slot(wc::max_slot_bytes(wc::ElementType::kBytes, wc::Level::kArchive, text.size()));
  slot.resize(*wc::pack(text, wc::ElementType::kBytes, wc::Level::kArchive, slot));
  corpus.add("zstd", {3}, slot);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path root = argv[1];
  addresses(Corpus(root, "fuzz_address"));
  handshakes(Corpus(root, "fuzz_handshake"));
  frames(Corpus(root, "fuzz_frame"));
  slots(Corpus(root, "fuzz_slot"));
  endpoint_scripts(Corpus(root, "fuzz_endpoint"));
  endpoint_findings(Corpus(root, "fuzz_endpoint"));
  return 0;
}
