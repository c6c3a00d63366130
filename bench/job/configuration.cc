#include "bench/job/configuration.h"

#include "weft/context.h"

namespace weft::bench {

Result<Config> read_configuration() {
  auto config = Config::from_environment();
  if (!config) return config;
  if (Status status = Context::check(*config); !status) return status;
  return config;
}

}  // namespace weft::bench
