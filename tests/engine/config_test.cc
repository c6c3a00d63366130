// Config from an environment: what is taken over, what is refused, and that a refusal can be acted on.
#include "weft/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "transport/engine/environment.h"

namespace weft {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Config, DefaultsAreValidAndWhatAnEmptyEnvironmentGives) {
  EXPECT_TRUE(Config().validate().is_ok()) << Config().validate().message();
  const auto config = config_from({{"PATH", "/bin"}, {"NCCL_DEBUG", "INFO"}, {"WEFTX", "1"}});
  ASSERT_TRUE(config.is_ok()) << config.status().message();
  for (const ConfigVariable& variable : config_variables()) {
    EXPECT_EQ(variable.show(*config), variable.show(Config())) << variable.name;
  }
}

TEST(Config, TakesEveryVariableOver) {
  const auto config = config_from({{"WEFT_IF", "^=eth3"},
                                   {"WEFT_FAMILY", "6"},
                                   {"WEFT_PATHS_PER_PLANE", "16"},
                                   {"WEFT_MAX_PATHS", "64"},
                                   {"WEFT_CHUNK_BYTES", "131072"},
                                   {"WEFT_TIMEOUT_MS", "100"},
                                   {"WEFT_PATH_TIMEOUT_MS", "2"},
                                   {"WEFT_CONNECT_TIMEOUT_MS", "3600000"},
                                   {"WEFT_SECRET", "s"},
                                   {"WEFT_CHECKSUM", "1"},
                                   {"WEFT_COMPRESS", "archive"},
                                   {"WEFT_STATS_FILE", "/tmp/%h.%p.100%%.json"},
                                   {"WEFT_STATS_INTERVAL_MS", "0"},
                                   {"WEFT_DEBUG", "debug"},
                                   {"WEFT_IB_DISABLE", "1"},
                                   {"WEFT_IB_HCA", "=mlx5_0:1"},
                                   {"WEFT_IB_GID_INDEX", "3"},
                                   {"WEFT_IB_TC", "106"},
                                   {"WEFT_IB_SL", "5"},
                                   {"WEFT_IB_TIMEOUT", "18"},
                                   {"WEFT_IB_RETRY_CNT", "6"},
                                   {"WEFT_IB_PCI_RELAXED_ORDERING", "0"},
                                   {"WEFT_GPU_DIRECT", "on"},
                                   {"WEFT_MRC", "off"},
                                   {"WEFT_MRC_EV_PROFILE", "9223372036854775807"},
                                   {"WEFT_MRC_CC_PROFILE", "0"},
                                   {"WEFT_TRANSPORT", "tcp"},
                                   {"WEFT_BOOTSTRAP", "host:1"},
                                   {"WEFT_JOB_ID", "7"},
                                   {"WEFT_TEST_ANYTHING", "x"}});
  ASSERT_TRUE(config.is_ok()) << config.status().message();
  EXPECT_EQ(config->transport, TransportChoice::kTcp);
  EXPECT_EQ(config->interfaces, "^=eth3");
  EXPECT_EQ(config->address_family, 6);
  EXPECT_EQ(config->paths_per_plane, 16);
  EXPECT_EQ(config->max_paths, 64);
  EXPECT_EQ(config->chunk_bytes, 131072u);
  EXPECT_EQ(config->peer_timeout, milliseconds(100));
  EXPECT_EQ(config->path_timeout, milliseconds(2));
  EXPECT_EQ(config->connect_timeout, milliseconds(3600000));
  EXPECT_EQ(config->secret, "s");
  EXPECT_TRUE(config->payload_checksum);
  EXPECT_EQ(config->compression, CompressionChoice::kArchive);
  EXPECT_EQ(config->stats_file, "/tmp/%h.%p.100%%.json");
  EXPECT_EQ(config->stats_interval, milliseconds(0));
  EXPECT_EQ(config->log_level, LogLevel::kDebug);
  EXPECT_TRUE(config->rdma.disabled);
  EXPECT_EQ(config->rdma.devices, "=mlx5_0:1");
  EXPECT_EQ(config->rdma.gid_index, 3);
  EXPECT_EQ(config->rdma.traffic_class, 106);
  EXPECT_EQ(config->rdma.service_level, 5);
  EXPECT_EQ(config->rdma.timeout, 18);
  EXPECT_EQ(config->rdma.retry_count, 6);
  EXPECT_FALSE(config->rdma.relaxed_ordering);
  EXPECT_EQ(config->rdma.gpu_direct, GpuDirectChoice::kOn);
  EXPECT_EQ(config->rdma.mrc, MrcChoice::kOff);
  EXPECT_EQ(config->rdma.mrc_ev_profile, 9223372036854775807);
  EXPECT_EQ(config->rdma.mrc_cc_profile, 0);
}

TEST(Config, WhatIsShownReadsBackAsTheSame) {
  Config config;
  config.interfaces = "eth";
  config.address_family = 4;
  config.chunk_bytes = 64 * 1024;
  config.secret = "x";
  config.payload_checksum = true;
  config.compression = CompressionChoice::kDense;
  config.stats_file = "f";
  config.log_level = LogLevel::kInfo;
  for (const ConfigVariable& variable : config_variables()) {
    Config copy;
    ASSERT_TRUE(variable.read(variable.show(config), copy)) << variable.name;
    EXPECT_EQ(variable.show(copy), variable.show(config)) << variable.name;
  }
}

TEST(Config, ReadsUnitsOfBytes) {
  const auto bytes = [](const char* text) { return config_from({{"WEFT_CHUNK_BYTES", text}})->chunk_bytes; };
  EXPECT_EQ(bytes("16384"), 16384u);
  EXPECT_EQ(bytes("16K"), 16384u);
  EXPECT_EQ(bytes("16k"), 16384u);
  EXPECT_EQ(bytes("1M"), 1048576u);
  EXPECT_EQ(bytes("16MiB"), 16777216u);
}

struct Refusal {
  const char* name;
  const char* value;
  const char* accepted;
};

class Refuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(Refuses, NamingVariableValueAndWhatIsAccepted) {
  const auto config = config_from({{GetParam().name, GetParam().value}});
  ASSERT_FALSE(config.is_ok());
  EXPECT_EQ(config.status().code(), StatusCode::kBadConfiguration);
  EXPECT_THAT(config.status().message(),
              AllOf(HasSubstr(GetParam().name + std::string("=\"") + GetParam().value + "\""),
                    HasSubstr(GetParam().accepted)));
}

INSTANTIATE_TEST_SUITE_P(
    Table, Refuses,
    ::testing::Values(
        Refusal{"WEFT_IF", "=^eth0", "comma list"}, Refusal{"WEFT_FAMILY", "5", "0 (both), 4 or 6"},
        Refusal{"WEFT_FAMILY", "AF_INET", "0 (both), 4 or 6"},
        Refusal{"WEFT_PATHS_PER_PLANE", "0", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", "17", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", "4 ", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", " 4", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", "+4", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", "-4", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", "4.0", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", "four", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", "4294967300", "auto or 1 to 16"},
        Refusal{"WEFT_PATHS_PER_PLANE", "99999999999999999999", "auto or 1 to 16"},
        Refusal{"WEFT_MAX_PATHS", "65", "1 to 64"}, Refusal{"WEFT_MAX_PATHS", "0", "1 to 64"},
        Refusal{"WEFT_CHUNK_BYTES", "8K", "16K to 16M"}, Refusal{"WEFT_CHUNK_BYTES", "32M", "16K to 16M"},
        Refusal{"WEFT_CHUNK_BYTES", "100K", "power of two"}, Refusal{"WEFT_CHUNK_BYTES", "K", "16K to 16M"},
        Refusal{"WEFT_CHUNK_BYTES", "1G", "16K to 16M"}, Refusal{"WEFT_CHUNK_BYTES", "1KK", "16K to 16M"},
        Refusal{"WEFT_CHUNK_BYTES", "9223372036854775807M", "16K to 16M"},
        Refusal{"WEFT_TIMEOUT_MS", "99", "100 to 3600000"},
        Refusal{"WEFT_TIMEOUT_MS", "2s", "100 to 3600000"},
        Refusal{"WEFT_TIMEOUT_MS", "3600001", "100 to 3600000"},
        Refusal{"WEFT_PATH_TIMEOUT_MS", "1", "2 to 10000"},
        Refusal{"WEFT_PATH_TIMEOUT_MS", "2000", "less than WEFT_TIMEOUT_MS"},
        Refusal{"WEFT_CONNECT_TIMEOUT_MS", "0", "100 to 3600000"}, Refusal{"WEFT_CHECKSUM", "yes", "0 or 1"},
        Refusal{"WEFT_CHECKSUM", "2", "0 or 1"},
        Refusal{"WEFT_COMPRESS", "zstd", "auto, off, fast, dense or archive"},
        Refusal{"WEFT_STATS_FILE", "/tmp/%d", "%p is the process id"},
        Refusal{"WEFT_STATS_FILE", "/tmp/x%", "%p is the process id"},
        Refusal{"WEFT_STATS_FILE", "/tmp/", "file name"}, Refusal{"WEFT_STATS_INTERVAL_MS", "-1", "3600000"},
        Refusal{"WEFT_DEBUG", "TRACE", "ERROR, WARN, INFO or DEBUG"},
        Refusal{"WEFT_IB_DISABLE", "yes", "0 or 1"}, Refusal{"WEFT_IB_HCA", "=^mlx5", "comma list"},
        Refusal{"WEFT_IB_GID_INDEX", "-1", "auto or 0 to 255"},
        Refusal{"WEFT_IB_GID_INDEX", "256", "auto or 0 to 255"}, Refusal{"WEFT_IB_TC", "256", "0 to 255"},
        Refusal{"WEFT_IB_SL", "16", "0 to 15"}, Refusal{"WEFT_IB_TIMEOUT", "0", "1 to 31"},
        Refusal{"WEFT_IB_TIMEOUT", "32", "1 to 31"}, Refusal{"WEFT_IB_RETRY_CNT", "7", "0 to 6"},
        Refusal{"WEFT_IB_PCI_RELAXED_ORDERING", "2", "0 or 1"}, Refusal{"WEFT_MRC", "1", "auto, on or off"},
        Refusal{"WEFT_GPU_DIRECT", "yes", "auto, on or off"}, Refusal{"WEFT_MRC", "ON", "auto, on or off"},
        Refusal{"WEFT_MRC_EV_PROFILE", "-1", "auto or 0"},
        Refusal{"WEFT_MRC_CC_PROFILE", "9223372036854775808", "auto or 0"},
        Refusal{"WEFT_TRANSPORT", "rdma", "auto, tcp, verbs or ucx"},
        Refusal{"NCCL_SOCKET_IFNAME", "=a,=b", "comma list"},
        Refusal{"NCCL_SOCKET_FAMILY", "ipv4", "AF_INET or AF_INET6"}));

TEST(Config, EmptyCountsAsUnsetButForTheSecret) {
  const auto config =
      config_from({{"WEFT_IF", ""}, {"WEFT_MAX_PATHS", ""}, {"WEFT_DEBUG", ""}, {"WEFT_TRANSPORT", ""}});
  ASSERT_TRUE(config.is_ok()) << config.status().message();
  EXPECT_EQ(config->max_paths, Config().max_paths);
  const auto open = config_from({{"WEFT_SECRET", ""}});
  ASSERT_FALSE(open.is_ok());
  EXPECT_THAT(open.status().message(), AllOf(HasSubstr("WEFT_SECRET"), HasSubstr("empty")));
}

TEST(Config, TheSecretIsNeverShown) {
  const auto config = config_from({{"WEFT_SECRET", std::string(2000, 'q')}});
  ASSERT_FALSE(config.is_ok());
  EXPECT_THAT(config.status().message(),
              AllOf(HasSubstr("WEFT_SECRET"), HasSubstr("1024"), Not(HasSubstr("qq"))));
}

TEST(Config, NcclsVariablesStandInOnlyWhereOursAreUnset) {
  const auto fallback = config_from({{"NCCL_SOCKET_IFNAME", "=eth0"}, {"NCCL_SOCKET_FAMILY", "AF_INET6"}});
  ASSERT_TRUE(fallback.is_ok()) << fallback.status().message();
  EXPECT_EQ(fallback->interfaces, "=eth0");
  EXPECT_EQ(fallback->address_family, 6);
  EXPECT_EQ(config_from({{"NCCL_SOCKET_FAMILY", "AF_INET"}})->address_family, 4);
  // A variable that is overruled is not judged.
  const auto own = config_from({{"NCCL_SOCKET_IFNAME", "=a,=b"},
                                {"NCCL_SOCKET_FAMILY", "nonsense"},
                                {"WEFT_IF", "ib"},
                                {"WEFT_FAMILY", "0"}});
  ASSERT_TRUE(own.is_ok()) << own.status().message();
  EXPECT_EQ(own->interfaces, "ib");
  EXPECT_EQ(own->address_family, 0);
}

struct Typo {
  const char* name;
  const char* meant;
};

class Suggests : public ::testing::TestWithParam<Typo> {};

TEST_P(Suggests, TheNameThatWasMeant) {
  const auto config = config_from({{GetParam().name, "1"}});
  ASSERT_FALSE(config.is_ok());
  EXPECT_THAT(config.status().message(),
              HasSubstr(std::string(GetParam().name) + " (did you mean " + GetParam().meant + "?)"));
}

INSTANTIATE_TEST_SUITE_P(
    Table, Suggests,
    ::testing::Values(Typo{"WEFT_PATH_PER_PLANE", "WEFT_PATHS_PER_PLANE"},
                      Typo{"WEFT_TIMEOUT", "WEFT_TIMEOUT_MS"}, Typo{"WEFT_MAXPATHS", "WEFT_MAX_PATHS"},
                      Typo{"WEFT_DEBGU", "WEFT_DEBUG"}, Typo{"WEFT_IFS", "WEFT_IF"},
                      Typo{"WEFT_SECRETS", "WEFT_SECRET"}, Typo{"WEFT_IFNAME", "WEFT_IF"},
                      Typo{"WEFT_IB", "WEFT_IF"}, Typo{"WEFT_SECRET_FILE", "WEFT_SECRET"},
                      Typo{"WEFT_TRANPSORT", "WEFT_TRANSPORT"}, Typo{"WEFT_STATS", "WEFT_STATS_FILE"},
                      Typo{"WEFT_CHUNK", "WEFT_CHUNK_BYTES"}));

TEST(Config, NamesThatAreNearlyKnownAreAllNamed) {
  const auto config =
      config_from({{"WEFT_MAX_PATH", "1"}, {"WEFT_COMPRES", "fast"}, {"WEFT_FROBNICATE", "1"}});
  ASSERT_FALSE(config.is_ok());
  EXPECT_THAT(
      config.status().message(),
      AllOf(HasSubstr("WEFT_COMPRES (did you mean WEFT_COMPRESS?)"), HasSubstr("WEFT_MAX_PATH (did you mean"),
            HasSubstr("docs/environment.md"), Not(HasSubstr("FROBNICATE"))));
}

TEST(Config, OtherUnknownNamesAreOnlyNoted) {
  const auto config = config_from({{"WEFT_FROBNICATE", "1"},
                                   {"WEFT_LIB", "/opt"},
                                   {"WEFT_VERSION", "3"},
                                   {"WEFT_METRICS_PORT_80_TCP", "tcp://10.0.0.1:80"},
                                   {"WEFT_MAX_PATHS", "9"},
                                   {"PATH", "/bin"}});
  ASSERT_TRUE(config.is_ok()) << config.status().message();
  EXPECT_THAT(config->unknown_variables, ::testing::ElementsAre("WEFT_FROBNICATE", "WEFT_LIB",
                                                                "WEFT_METRICS_PORT_80_TCP", "WEFT_VERSION"));
  EXPECT_EQ(config->max_paths, 9);
}

TEST(Config, WhatOthersSetForReasonsOfTheirOwnIsPassedOver) {
  const auto config = config_from({{"WEFT_ROOT", "/opt/weft"},
                                   {"WEFT_DIR", "/opt/weft/lib/cmake/weft"},
                                   {"WEFT_HOME", "/opt/weft"},
                                   {"WEFT_SERVICE_HOST", "10.0.0.1"},
                                   {"WEFT_SERVICE_PORT", "80"},
                                   {"WEFT_SERVICE_PORT_HTTP", "80"},
                                   {"WEFT_PORT", "tcp://10.0.0.1:80"},
                                   {"WEFT_PORT_80_TCP", "tcp://10.0.0.1:80"},
                                   {"WEFT_PORT_80_TCP_ADDR", "10.0.0.1"},
                                   {"WEFT_TEST_ANYTHING", "x"}});
  ASSERT_TRUE(config.is_ok()) << config.status().message();
  EXPECT_THAT(config->unknown_variables, ::testing::IsEmpty());
}

TEST(Config, ValidateJudgesFieldsThatCodeHasSet) {
  const auto refused = [](auto change) {
    Config config;
    change(config);
    return config.validate().message();
  };
  EXPECT_THAT(refused([](Config& c) { c.paths_per_plane = -1; }), HasSubstr("WEFT_PATHS_PER_PLANE=\"-1\""));
  EXPECT_THAT(refused([](Config& c) { c.max_paths = 100; }), HasSubstr("WEFT_MAX_PATHS=\"100\""));
  EXPECT_THAT(refused([](Config& c) { c.chunk_bytes = 0; }), HasSubstr("WEFT_CHUNK_BYTES"));
  EXPECT_THAT(refused([](Config& c) { c.chunk_bytes = 16385; }), HasSubstr("WEFT_CHUNK_BYTES=\"16385\""));
  EXPECT_THAT(refused([](Config& c) { c.address_family = 2; }), HasSubstr("WEFT_FAMILY=\"2\""));
  EXPECT_THAT(refused([](Config& c) { c.interfaces = "^"; }), HasSubstr("WEFT_IF=\"^\""));
  EXPECT_THAT(refused([](Config& c) { c.peer_timeout = milliseconds(10); }),
              HasSubstr("WEFT_TIMEOUT_MS=\"10\""));
  EXPECT_THAT(refused([](Config& c) { c.path_timeout = c.peer_timeout; }), HasSubstr("WEFT_PATH_TIMEOUT_MS"));
  EXPECT_THAT(refused([](Config& c) { c.secret.assign(1025, 'q'); }), Not(HasSubstr("qq")));
  EXPECT_EQ(refused([](Config& c) {}), "");
}

TEST(Config, FromEnvironmentReadsTheProcess) {
  ASSERT_EQ(setenv("WEFT_MAX_PATHS", "9", 1), 0);
  const auto config = Config::from_environment();
  ASSERT_TRUE(config.is_ok()) << config.status().message();
  EXPECT_EQ(config->max_paths, 9);
  ASSERT_EQ(setenv("WEFT_MAX_PATH", "9", 1), 0);
  EXPECT_FALSE(Config::from_environment().is_ok());
  unsetenv("WEFT_MAX_PATH");
  unsetenv("WEFT_MAX_PATHS");
}

TEST(Status, EveryCodeHasWords) {
  for (int code = 0; code <= static_cast<int>(StatusCode::kInternal); ++code) {
    EXPECT_NE(to_string(static_cast<StatusCode>(code)), "unknown status") << code;
  }
}

}  // namespace
}  // namespace weft
