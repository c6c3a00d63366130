// Calls into each installed library. A job of one rank.
#include <cstdio>

#include <weft/communicator.h>
#include <weft/version.h>

int main() {
  auto context = weft::Context::create({}, {});
  if (!context) return std::puts(context.status().message().c_str()), 1;
  auto bootstrap = weft::Bootstrap::create({});
  if (!bootstrap) return std::puts(bootstrap.status().message().c_str()), 1;
  auto communicator = weft::Communicator::create(**context, **bootstrap);
  if (!communicator) return std::puts(communicator.status().message().c_str()), 1;
  float value = 3;
  weft::Status status =
      (*communicator)->all_reduce(&value, &value, 1, weft::DataType::kFloat32, weft::ReduceOp::kSum);
  if (!status) return std::puts(status.message().c_str()), 1;
  std::printf("weft %s: %g\n", WEFT_VERSION_STRING, static_cast<double>(value));
  return value == 3 ? 0 : 1;
}
