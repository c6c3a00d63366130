#include "tests/conform/planted_fault.h"

namespace weft::conform_test {

const Fault planted_fault = Fault::WEFT_FAULT;

}  // namespace weft::conform_test
