#include "bench/job/configuration.h"

#include <fmt/format.h>

#include "bench/exit_status.h"
#include "weft/context.h"

namespace weft::bench {

Result<Config> read_configuration() {
  auto config = Config::from_environment();
  if (!config) return config;
  if (Status status = Context::check(*config); !status) return status;
  if (!config->unknown_variables.empty()) {
    complain(fmt::format("without effect, since Weft knows no such variable: {}",
                         fmt::join(config->unknown_variables, ", ")));
    config->unknown_variables.clear();  // each rank's context would say it again
  }
  return config;
}

}  // namespace weft::bench
