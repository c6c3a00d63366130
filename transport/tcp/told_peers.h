// Of which peers a user was told something already: a peer may have many connections of several paths each,
// and what its settings lack is said once. Any thread.
#pragma once

#include <memory>
#include <string>

#include "transport/engine/log.h"

namespace weft::tcp {

// True the first time that a peer comes with this log.
bool is_first_word_about(const std::string& peer, const std::shared_ptr<const engine::Log>& log);

}  // namespace weft::tcp
