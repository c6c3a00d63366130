#include "bench/perf/sizes.h"

#include <charconv>
#include <cmath>

namespace weft::bench {

namespace {
constexpr std::string_view kSuffixes = "KMGT";

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}
}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc{} || !(number >= 0)) return std::nullopt;
  std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  double unit = 1;
  if (!suffix.empty() && upper(suffix.front()) != 'B') {
    const std::size_t power = kSuffixes.find(upper(suffix.front()));
    if (power == std::string_view::npos) return std::nullopt;
    unit = std::ldexp(1.0, 10 * (static_cast<int>(power) + 1));
    suffix.remove_prefix(1);
    if (!suffix.empty() && suffix.front() == 'i') {
      suffix.remove_prefix(1);
      if (suffix.empty()) return std::nullopt;
    }
  }
  if (!suffix.empty() && upper(suffix.front()) == 'B') suffix.remove_prefix(1);
  if (!suffix.empty()) return std::nullopt;
  const double bytes = number * unit;
  if (bytes != std::floor(bytes) || bytes >= std::ldexp(1.0, 63)) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

std::string format_size(std::uint64_t bytes) {
  std::string suffix;
  for (const char c : kSuffixes) {
    if (bytes == 0 || bytes % 1024 != 0) break;
    bytes /= 1024;
    suffix = c;
  }
  return std::to_string(bytes) + suffix;
}

}  // namespace weft::bench
