// The environment variables that Weft knows, and Config made from them. The one list in the code:
// docs/environment.md is compared with it by a test, names, defaults and accepted values.
//
// Read once, at the start of a process; nothing here calls getenv(). Any thread.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "weft/config.h"
#include "weft/status.h"

namespace weft {

// A variable that becomes a field of Config.
struct ConfigVariable {
  std::string_view name;
  std::string_view accepted;  // "1 to 16", for messages and the documentation
  // Takes over the text; false where it is no such value at all.
  bool (*read)(const std::string& text, Config& config);
  bool (*in_range)(const Config& config);
  // The field as the user would write it.
  std::string (*show)(const Config& config);
  bool is_secret = false;  // its value never appears in a message
};
std::span<const ConfigVariable> config_variables();

// A variable that another part of Weft reads, or that is fixed in this version. Here so that it counts as
// known.
struct OtherVariable {
  std::string_view name;
  std::string_view default_text;
  std::string_view accepted;
};
std::span<const OtherVariable> other_variables();

// Names that others give to variables for reasons of their own, and that mean nothing here: where Weft is
// installed (CMake's hint among them), what Kubernetes sets for a service called weft, Weft's own tests. One
// that ends in * stands for all that begin so.
std::span<const std::string_view> foreign_names();

using Environment = std::map<std::string, std::string, std::less<>>;

// As in WEFT_COMPRESS.
std::string_view to_string(CompressionChoice choice);

// What Config::from_environment() does, on a given environment. An empty value counts as unset, but for
// WEFT_SECRET: an empty secret is an accident and would leave the job open. kBadConfiguration names variable,
// value and what is accepted. A WEFT_ name that is nearly a known one is refused as a typing error; others
// that nobody knows go to unknown_variables.
Result<Config> config_from(const Environment& environment);

}  // namespace weft
