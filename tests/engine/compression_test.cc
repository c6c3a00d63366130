// Messages that go coded over real TCP on the loopback device: every level, all kinds of data, paths that are
// cut in their midst, and ends that do not agree.
#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/compression/element_samples.h"
#include "tests/engine/loopback.h"

namespace weft::loopback {
namespace {

using compression::ElementType;

Config compressing(CompressionChoice choice) {
  Config settings = config_without_silence_limit();
  settings.compression = choice;
  return settings;
}

Bytes file(const std::string& name) {
  std::ifstream stream(std::string(WEFT_WEIGHTS_FOLDER) + "/" + name, std::ios::binary);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(stream), {});
  Bytes content(bytes.size());
  std::memcpy(content.data(), bytes.data(), bytes.size());
  return content;
}

// Everything that may want to be sent, by name.
std::vector<std::pair<std::string, Bytes>> payloads() {
  std::vector<std::pair<std::string, Bytes>> all = {{"bf16 weights", file("minilm.bf16")},
                                                    {"fp32 weights", file("minilm.fp32")},
                                                    {"random bytes", pattern(300001, 7)},
                                                    {"zeros", Bytes(200000)},
                                                    {"all halves", compression::every_half_pattern()}};
  const std::array<std::pair<const char*, ElementType>, 5> types = {{{"bf16", ElementType::kBfloat16},
                                                                     {"fp16", ElementType::kFloat16},
                                                                     {"fp32", ElementType::kFloat32},
                                                                     {"e4m3", ElementType::kFloat8E4M3},
                                                                     {"e5m2", ElementType::kFloat8E5M2}}};
  for (const auto& [name, type] : types)
    all.emplace_back(std::string("normal ") + name, compression::gaussian(type, 100003, 1, 5));
  std::string text;
  while (text.size() < 200000) text += "a line of text, number " + std::to_string(text.size() * 7919) + "\n";
  Bytes words(text.size());
  std::memcpy(words.data(), text.data(), text.size());
  all.emplace_back("text", std::move(words));
  return all;
}

class Compression : public ConnectedContexts {
 protected:
  // From one to the other, compared, with a guard behind the receive.
  void pass(std::span<const std::byte> sent) {
    constexpr std::size_t kGuard = 4096;
    Bytes received(sent.size() + kGuard, std::byte{0xee});
    const RequestId receive = other().post_receive(received.data(), sent.size(), 3);
    const RequestId send = one().post_send(sent.data(), sent.size(), 3);
    const Completion completion = wait(other(), receive, one());
    ASSERT_EQ(completion.status, StatusCode::kOk) << other().error().message();
    ASSERT_EQ(completion.bytes, sent.size());
    ASSERT_EQ(wait(one(), send, other()).status, StatusCode::kOk);
    ASSERT_TRUE(std::equal(sent.begin(), sent.end(), received.begin()));
    for (std::size_t i = 0; i < kGuard; ++i) ASSERT_EQ(received[sent.size() + i], std::byte{0xee}) << i;
  }
};

struct LevelName {
  CompressionChoice choice;
  const char* name;
};
class Forced : public Compression, public testing::WithParamInterface<LevelName> {};

TEST_P(Forced, LevelsCarryEveryKindOfDataBitByBit) {
  start(compressing(GetParam().choice), compressing(GetParam().choice));
  for (const auto& [name, bytes] : payloads()) {
    SCOPED_TRACE(name);
    ASSERT_FALSE(bytes.empty());
    // Long ones are cut into chunks, and begin where no element does.
    pass(bytes);
    pass(std::span(bytes).subspan(1));
    for (std::size_t size : {0u, 1u, 4095u, 4096u, 4097u, 65535u, 65536u, 65537u})
      pass(std::span(bytes).first(std::min<std::size_t>(size, bytes.size())));
  }
  const CompressionStatistics sent = one().statistics().compression;
  const CompressionStatistics received = other().statistics().compression;
  EXPECT_TRUE(sent.agreed && received.agreed);
  EXPECT_EQ(sent.setting, GetParam().name);
  EXPECT_GT(sent.sent.chunks, 20u);
  EXPECT_LT(sent.sent.coded_bytes, sent.sent.plain_bytes);
  EXPECT_EQ(received.received.chunks, sent.sent.chunks);
  EXPECT_EQ(received.received.plain_bytes, sent.sent.plain_bytes);
  EXPECT_EQ(received.received.coded_bytes, sent.sent.coded_bytes);
  EXPECT_EQ(received.sent.chunks, 0u);
  EXPECT_EQ(totals(one()).failures + totals(other()).failures, 0u);
}

TEST_P(Forced, LevelsMakeRealWeightsSmaller) {
  start(compressing(GetParam().choice), compressing(CompressionChoice::kAuto));
  const Bytes weights = file("minilm.bf16");
  pass(weights);
  const CompressionStatistics statistics = one().statistics().compression;
  EXPECT_EQ(statistics.level, GetParam().name);
  EXPECT_EQ(statistics.element_type, "bf16");
  EXPECT_EQ(statistics.sent.plain_bytes, weights.size()) << "every chunk is coded";
  const double ratio =
      static_cast<double>(statistics.sent.plain_bytes) / static_cast<double>(statistics.sent.coded_bytes);
  EXPECT_GT(ratio, GetParam().choice == CompressionChoice::kFast ? 1.3 : 1.4);
  EXPECT_EQ(one().statistics().messages_sent, 1u);
}

TEST_P(Forced, LevelsSurvivePathsThatAreCutInTheirMidst) {
  Config cuttable = config();
  cuttable.compression = GetParam().choice;
  cuttable.payload_checksum = true;
  start(cuttable, cuttable);
  const Bytes weights = file("minilm.bf16");
  Bytes sent;
  while (sent.size() < (std::size_t{24} << 20)) sent.insert(sent.end(), weights.begin(), weights.end() - 2);
  constexpr unsigned kCutsPerMessage = 4;
  std::mt19937 random(11);
  unsigned cuts = 0;
  const auto is_enough = [&] { return cuts >= 2 * kCutsPerMessage && totals(one()).resent != 0; };
  for (unsigned message = 0; !is_enough() && message < 30; ++message) {
    Bytes received(sent.size());
    const RequestId receive = other().post_receive(received.data(), received.size(), message);
    const RequestId send = one().post_send(sent.data(), sent.size(), message);
    const std::uint64_t before = totals(other()).received_bytes;
    unsigned cuts_now = 0;
    Completion completion;
    ASSERT_TRUE(repeat_until([&] {
      one().progress();
      completion = other().test(receive);
      if (cuts_now < kCutsPerMessage &&
          totals(other()).received_bytes - before > (cuts_now + 1) * (sent.size() / (kCutsPerMessage + 2))) {
        ++cuts_now;
        Connection& end = random() % 2 == 0 ? one() : other();
        EXPECT_TRUE(end.cut_path(static_cast<int>(random() % 4)).is_ok());
      }
      return completion.done;
    }));
    cuts += cuts_now;
    ASSERT_EQ(completion.status, StatusCode::kOk) << other().error().message();
    ASSERT_EQ(wait(one(), send, other()).status, StatusCode::kOk);
    ASSERT_TRUE(received == sent) << "message " << message;
  }
  EXPECT_TRUE(is_enough()) << cuts << " cuts, " << totals(one()).resent << " chunks were sent again";
  EXPECT_GT(one().statistics().compression.sent.chunks, 100u);
}

INSTANTIATE_TEST_SUITE_P(, Forced,
                         testing::Values(LevelName{CompressionChoice::kFast, "fast"},
                                         LevelName{CompressionChoice::kDense, "dense"},
                                         LevelName{CompressionChoice::kArchive, "archive"}),
                         [](const auto& level) { return std::string(level.param.name); });

TEST_F(Compression, NeedsBothEnds) {
  const Bytes weights = file("minilm.bf16");
  for (const bool first : {true, false}) {
    start(compressing(first ? CompressionChoice::kOff : CompressionChoice::kFast),
          compressing(first ? CompressionChoice::kFast : CompressionChoice::kOff));
    pass(weights);
    for (Connection* end : {&one(), &other()}) {
      const CompressionStatistics statistics = end->statistics().compression;
      EXPECT_FALSE(statistics.agreed);
      EXPECT_EQ(statistics.level, "raw");
      EXPECT_EQ(statistics.sent.chunks + statistics.received.chunks, 0u);
      const bool is_off = statistics.setting == "off";
      EXPECT_EQ(statistics.why, is_off ? "WEFT_COMPRESS=off at this end" : "the peer's WEFT_COMPRESS is off");
    }
    EXPECT_EQ(totals(one()).failures + totals(other()).failures, 0u);
  }
}

int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

// One word for all paths of all its connections, whichever end dialled; none to the peer, who asked for
// nothing, and none where the choice was left to Weft.
TEST(CompressionWarning, NamesAPeerThatIsOffOnce) {
  for (const CompressionChoice choice : {CompressionChoice::kFast, CompressionChoice::kAuto}) {
    for (const bool asking_dials : {true, false}) {
      LogBook asking_says, off_says;
      const auto asking = make_context(compressing(choice), &asking_says);
      const auto off = make_context(compressing(CompressionChoice::kOff), &off_says);
      Context& from = asking_dials ? *asking : *off;
      const auto listener = listen(asking_dials ? *off : *asking);
      const Pair pair = connect(from, *listener), another = connect(from, *listener);
      ASSERT_TRUE(pair.connected && another.connected);
      expect_messages_pass(*pair.connected, *pair.accepted, 100000, 1);
      expect_messages_pass(*another.connected, *another.accepted, 100000, 2);
      const std::string said = asking_says.text();
      EXPECT_EQ(count(said,
                      "WEFT_COMPRESS=fast has no effect on what goes to peer 127.0.0.1: the peer's "
                      "WEFT_COMPRESS is off. "
                      "Set WEFT_COMPRESS there too"),
                choice == CompressionChoice::kFast)
          << said;
      EXPECT_EQ(count(off_says.text(), "WEFT_COMPRESS"), 0) << off_says.text();
    }
  }
}

TEST_F(Compression, IsEachEndsOwnMatterInItsDirection) {
  start(compressing(CompressionChoice::kFast), compressing(CompressionChoice::kArchive));
  const Bytes weights = file("minilm.bf16");
  pass(weights);
  std::swap(pair_.connected, pair_.accepted);
  pass(weights);
  EXPECT_EQ(one().statistics().compression.level, "archive");
  EXPECT_EQ(other().statistics().compression.level, "fast");
}

TEST_F(Compression, OfDataThatDoesNotBecomeSmallerIsLeftOut) {
  start(compressing(CompressionChoice::kDense), compressing(CompressionChoice::kDense));
  pass(pattern(std::size_t{4} << 20, 3));
  const CompressionStatistics statistics = one().statistics().compression;
  EXPECT_EQ(statistics.sent.chunks, 0u);
  EXPECT_EQ(statistics.level, "raw");
  EXPECT_EQ(statistics.why, "the data does not become smaller");
}

// The processor is what limits a transfer within a host, so all of this goes as it is. That holds on any
// machine whose sockets take more of its time than a network would.
TEST_F(Compression, LeftToItselfSaysWhatItDoesAndWhy) {
  start(compressing(CompressionChoice::kAuto), compressing(CompressionChoice::kAuto));
  const Bytes weights = file("minilm.bf16");
  for (int i = 0; i < 40; ++i) pass(weights);
  const CompressionStatistics statistics = one().statistics().compression;
  EXPECT_TRUE(statistics.agreed);
  EXPECT_EQ(statistics.setting, "auto");
  EXPECT_FALSE(statistics.why.empty());
}

}  // namespace
}  // namespace weft::loopback
