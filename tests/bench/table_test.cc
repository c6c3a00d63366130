// Rows and comment lines against those of nccl-tests 2.19. The expected text was made by hand from its format
// strings, with numbers chosen here to reach every width and rounding; none was recorded from a run of it.
#include "bench/perf/table.h"

#include <gtest/gtest.h>

namespace weft::bench {
namespace {

std::string row(std::uint64_t bytes, std::uint64_t elements, const char* type, const char* op,
                Measurement out_of_place, Measurement in_place) {
  return row_begin(bytes, elements, type, op, -1) + row_measurement(out_of_place) + row_measurement(in_place);
}

TEST(Table, RowsAreThoseOfNcclTests) {
  EXPECT_EQ(row(8, 2, "float", "sum", {6.81, 0.00117, 0.00205, 0}, {6.7949, 0.0011, 0.002, 0}),
            "           8             2     float     sum      -1     6.81    0.00    0.00       0     6.79  "
            "  0.00    0.00       0");
  EXPECT_EQ(row(1048576, 262144, "float", "sum", {71.364, 14.693, 25.713, 0}, {71.005, 14.767, 25.843, 0}),
            "     1048576        262144     float     sum      -1    71.36   14.69   25.71       0    71.00  "
            " 14.77   25.84       0");
  EXPECT_EQ(row(8589934592, 2147483648, "float", "sum", {32468.5, 264.56, 462.98, 0},
                {99999.96, 1264.56, 12462.98, 0}),
            "  8589934592    2147483648     float     sum      -1  32468.5  264.56  462.98       0   100000  "
            "1264.6   12463       0");
}

TEST(Table, LargeNumbersLoseDecimalsAndWrongCountsMayBeLong) {
  EXPECT_EQ(row(4294967296, 134217728, "bfloat16", "none", {1234567.4, 264.56, 231.49, 0},
                {12345678.9, 123456.7, 1234567.8, std::nullopt}),
            "  4294967296     134217728  bfloat16    none      -1  1234567  264.56  231.49       0  1.2e+07  "
            "123457   1e+06    N/A");
  EXPECT_EQ(row(0, 0, "uint8", "avg", {0.004, 0, 0, 17}, {999.995, 999.996, 9999.96, 1048576}),
            "           0             0     uint8     avg      -1     0.00    0.00    0.00      17  1000.00  "
            "1000.0   10000  1.04858e+06");
  EXPECT_EQ(
      row(64, 16, "half", "prod", {98765432100.0, 0.005, 0.015, 12345678}, {9999.994, 0, 0, std::nullopt}),
      "          64            16      half    prod      -1  9.9e+10    0.01    0.01  1.23457e+07  9999.99   "
      " 0.00    0.00    N/A");
}

TEST(Table, HeadIsThatOfNcclTests) {
  PerfOptions options;
  options.min_bytes = 8;
  options.max_bytes = 134217728;
  options.step_factor = 2;
  const std::string head = table_head(options, "9.9", {{3, 12345, "node7", "eth0 eth1"}});
  EXPECT_EQ(head,
            "# weft version 9.9\n"
            "# Collective test starting: weft perf all_reduce\n"
            "# nThread 1 nGpus 1 minBytes 8 maxBytes 134217728 step: 2(factor) warmup iters: 1 iters: 20 agg "
            "iters: 1 validation: 1 graph: 0 unalign: 0\n"
            "#\n"
            "# Using devices\n"
            "#  Rank  3 Group  0 Pid  12345 on      node7 device  0 [0000:00:00] host memory, eth0 eth1\n"
            "#\n"
            "#                                                              out-of-place                     "
            "  in-place          \n"
            "#       size         count      type   redop    root     time   algbw   busbw  #wrong     time  "
            " algbw   busbw  #wrong \n"
            "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)             (us)  "
            "(GB/s)  (GB/s)         \n");
  options.step_factor = 1;
  EXPECT_NE(table_head(options, "9.9", {}).find("step: 1048576(bytes)"), std::string::npos);
}

TEST(Table, FootIsThatOfNcclTests) {
  EXPECT_EQ(table_foot(0, 139.76712, "weft perf sendrecv"),
            "# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 139.767 \n#\n"
            "# Collective test concluded: weft perf sendrecv\n#\n\n");
  EXPECT_EQ(table_foot(3, 0, "x").substr(0, 34), "# Out of bounds values : 3 FAILED\n");
}

}  // namespace
}  // namespace weft::bench
