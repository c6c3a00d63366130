// `weft conform` as a program of its own, for trying plugins without the rest of the weft command.
#include "bench/conform/conform.h"

int main(int argc, char** argv) {
  return weft::bench::conform_main(argc, argv);
}
