// All ranks of a job add up a million numbers. The README shows it from the first include on.
#include <weft/communicator.h>

#include <cstdio>
#include <vector>

int main() {
  auto config = weft::Config::from_environment();   // WEFT_* variables
  auto place = weft::JobPlace::from_environment();  // from torchrun, srun or mpirun; or RANK, WORLD_SIZE, ...
  if (!config || !place) return 2;                  // .status().message() says what is wrong, and what to do
  auto bootstrap = weft::Bootstrap::create({.place = *place, .secret = config->secret});
  auto context = weft::Context::create(*config, {});
  if (!bootstrap || !context) return 2;
  auto communicator = weft::Communicator::create(**context, **bootstrap);
  if (!communicator) return 2;

  weft::Communicator& ranks = **communicator;
  std::vector<float> data(1 << 20, 1.5f);
  weft::Status status =
      ranks.all_reduce(data.data(), data.data(), data.size(), weft::DataType::kFloat32, weft::ReduceOp::kSum);
  if (!status) return 1;
  std::printf("rank %d of %d: the sum is %g\n", ranks.rank(), ranks.size(), data[0]);
  return 0;
}
