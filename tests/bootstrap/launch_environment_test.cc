// What each launcher sets, as recorded from it, and what a process makes of it.
#include "transport/bootstrap/launch_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "transport/bootstrap/host_list.h"
#include "transport/bootstrap/launcher_process.h"

namespace weft::bootstrap {
namespace {

using Variables = std::map<std::string, std::string>;
using testing::HasSubstr;

Result<JobPlace> place(const Variables& variables, int parent = 4242) {
  return place_from(
      [&](const char* name) -> std::optional<std::string> {
        const auto entry = variables.find(name);
        if (entry == variables.end()) return std::nullopt;
        return entry->second;
      },
      parent);
}

TEST(LaunchEnvironment, NothingSetMeansOneRank) {
  const auto alone = place({});
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->size, 1);
  EXPECT_EQ(alone->launcher, "");
}

TEST(LaunchEnvironment, PlainVariables) {
  const auto job =
      place({{"RANK", "2"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29500"}});
  ASSERT_TRUE(job);
  EXPECT_EQ(job->rank, 2);
  EXPECT_EQ(job->size, 4);
  EXPECT_EQ(job->host, "node7");
  EXPECT_EQ(job->port, 29500);
  EXPECT_EQ(job->launcher, "RANK/WORLD_SIZE");
}

TEST(LaunchEnvironment, TorchrunsAgentKeepsMasterPortForItself) {
  Variables torchrun{{"RANK", "1"},
                     {"WORLD_SIZE", "2"},
                     {"MASTER_ADDR", "127.0.0.1"},
                     {"MASTER_PORT", "29500"},
                     {"TORCHELASTIC_RUN_ID", "none"},
                     {"TORCHELASTIC_RESTART_COUNT", "0"},
                     {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
  const auto job = place(torchrun);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->port, 29501);
  EXPECT_EQ(job->launcher, "torchrun");
  // Two jobs are both called "none"; a restart is another job.
  torchrun["MASTER_PORT"] = "29510";
  EXPECT_NE(place(torchrun)->job_id, job->job_id);
  torchrun["MASTER_PORT"] = "29500";
  torchrun["TORCHELASTIC_RESTART_COUNT"] = "1";
  EXPECT_NE(place(torchrun)->job_id, job->job_id);
  torchrun["TORCHELASTIC_RESTART_COUNT"] = "0";
  torchrun["TORCHELASTIC_USE_AGENT_STORE"] = "False";
  EXPECT_EQ(place(torchrun)->port, 29500);
}

TEST(LaunchEnvironment, WeftBootstrapOverridesTheMaster) {
  Variables variables{{"RANK", "1"},
                      {"WORLD_SIZE", "2"},
                      {"MASTER_ADDR", "a"},
                      {"MASTER_PORT", "1"},
                      {"WEFT_BOOTSTRAP", "b:77"}};
  EXPECT_EQ(place(variables)->host, "b");
  EXPECT_EQ(place(variables)->port, 77);
  variables["WEFT_BOOTSTRAP"] = "[fe80::1%eth0]:78";
  EXPECT_EQ(place(variables)->host, "fe80::1%eth0");
  EXPECT_EQ(place(variables)->port, 78);
  for (const char* bad : {"host", ":5", "host:", "host:0", "host:70000", "host:http"}) {
    variables["WEFT_BOOTSTRAP"] = bad;
    const auto refused = place(variables);
    ASSERT_FALSE(refused) << bad;
    EXPECT_THAT(refused.status().message(), HasSubstr("WEFT_BOOTSTRAP"));
  }
}

TEST(LaunchEnvironment, SrunFindsTheFirstNodeAndOnePortForAllRanks) {
  Variables srun{{"SLURM_PROCID", "3"},         {"SLURM_NTASKS", "8"},
                 {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_STEP_NODELIST", "gpu-[017-018,020],login1"},
                 {"SLURM_JOB_ID", "123456"},    {"SLURM_STEP_ID", "0"}};
  const auto job = place(srun);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->rank, 3);
  EXPECT_EQ(job->size, 4);
  EXPECT_EQ(job->host, "gpu-017");
  EXPECT_EQ(job->launcher, "srun");
  EXPECT_GE(job->port, 1024);
  srun["SLURM_PROCID"] = "0";
  EXPECT_EQ(place(srun, 1)->port, job->port);
  EXPECT_EQ(place(srun, 1)->job_id, job->job_id);
  srun["SLURM_STEP_ID"] = "1";
  EXPECT_NE(place(srun)->job_id, job->job_id);
  // On one node its name, which may resolve to anything, does not matter.
  srun["SLURM_STEP_NUM_NODES"] = "1";
  EXPECT_EQ(place(srun)->host, "127.0.0.1");
}

TEST(LaunchEnvironment, SrunThatSpeaksPmi2) {
  // As srun --mpi=pmi2 of Slurm 22.05.8 sets them.
  Variables srun{{"PMI_RANK", "2"},
                 {"PMI_SIZE", "4"},
                 {"PMI_JOBID", "8.0"},
                 {"SLURM_PROCID", "2"},
                 {"SLURM_NTASKS", "4"},
                 {"SLURM_STEP_NUM_TASKS", "4"},
                 {"SLURM_STEP_NUM_NODES", "2"},
                 {"SLURM_STEP_NODELIST", "n[1-2]"},
                 {"SLURM_JOB_ID", "8"},
                 {"SLURM_STEP_ID", "0"}};
  const auto job = place(srun);
  ASSERT_TRUE(job) << job.status().message();
  EXPECT_EQ(job->launcher, "srun");
  EXPECT_EQ(job->host, "n1");
  // The processes of an mpirun that itself was started by srun, one for each node, are numbered by mpirun.
  srun["PMI_RANK"] = "5";
  srun["PMI_SIZE"] = "8";
  srun["MASTER_ADDR"] = "n1";
  srun["MASTER_PORT"] = "5000";
  EXPECT_EQ(place(srun)->launcher, "mpirun");
  EXPECT_EQ(place(srun)->rank, 5);
}

TEST(LaunchEnvironment, LeftOverVariablesDoNotMakeSingleOnes) {
  const Variables several[] = {
      {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}},
      {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}},
      {{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_STEP_NODELIST", "n1"}},
  };
  for (Variables variables : several) {
    variables["RANK"] = "0";
    variables["WORLD_SIZE"] = "1";
    const auto refused = place(variables);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.status().code(), StatusCode::kBadConfiguration);
    EXPECT_THAT(refused.status().message(), HasSubstr("unset RANK and WORLD_SIZE"));
  }
  // torchrun under srun, one for each node, is no contradiction.
  Variables torchrun{several[2]};
  for (const auto& [name, value] :
       Variables{{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"MASTER_ADDR", "n1"}, {"MASTER_PORT", "5"}})
    torchrun[name] = value;
  EXPECT_EQ(place(torchrun)->rank, 5);
}

TEST(LaunchEnvironment, ALauncherThatDoesNotTellHowManyIsRefused) {
  const auto refused = place({{"PMIX_RANK", "3"}, {"PMIX_NAMESPACE", "prterun-n1-7@1"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.status().code(), StatusCode::kBadConfiguration);
  EXPECT_THAT(refused.status().message(), HasSubstr("PMIX_RANK=3"));
  EXPECT_THAT(refused.status().message(), HasSubstr("WORLD_SIZE"));
  EXPECT_EQ(place({{"PMIX_RANK", "3"}, {"RANK", "0"}, {"WORLD_SIZE", "1"}})->size, 1);
}

TEST(LauncherProcess, IsTheNearestAncestorWithoutTheRank) {
  constexpr const char* kNames[] = {"WEFT_TEST_RANK"};
  ::unsetenv(kNames[0]);
  EXPECT_EQ(launcher_process(kNames), ::getppid());
  // /proc shows what a process was started with: setting it here makes a rank, but no wrapper, of this one.
  ::setenv(kNames[0], "1", 1);
  EXPECT_EQ(launcher_process(kNames), ::getppid());
  ::unsetenv(kNames[0]);
}

TEST(LauncherProcess, EntriesAreWhole) {
  using std::string_literals::operator""s;
  const std::string environment = "A=1\0PMI_RANK=12\0XPMI_RANK=1\0"s;
  EXPECT_TRUE(has_entry(environment, "PMI_RANK=12"));
  EXPECT_TRUE(has_entry(environment, "A=1"));
  EXPECT_FALSE(has_entry(environment, "PMI_RANK=1"));
  EXPECT_FALSE(has_entry("", "A=1"));
}

TEST(LaunchEnvironment, SlurmWithoutSrunIsNotRunAsSeveralSingleOnes) {
  const auto refused = place({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "9"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.status().code(), StatusCode::kUnreachable);
  EXPECT_THAT(refused.status().message(), HasSubstr("srun"));
  EXPECT_THAT(refused.status().message(), HasSubstr("MASTER_ADDR"));
  ASSERT_FALSE(place({{"SLURM_NTASKS", "4"}}));
  EXPECT_EQ(place({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}})->size, 1);
}

TEST(LaunchEnvironment, MpirunOnOneHostNeedsNoMaster) {
  Variables mpirun{
      {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
  const auto job = place(mpirun, 99);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->host, "127.0.0.1");
  EXPECT_EQ(job->launcher, "mpirun");
  EXPECT_NE(place(mpirun, 100)->port, job->port);  // another mpirun
  mpirun["OMPI_COMM_WORLD_LOCAL_SIZE"] = "1";
  const auto refused = place(mpirun);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.status().message(), HasSubstr("mpirun -x MASTER_ADDR"));
  // MPICH, and mpirun inside a Slurm allocation, whose variables do not count.
  const auto hydra = place({{"PMI_RANK", "1"},
                            {"PMI_SIZE", "2"},
                            {"MASTER_ADDR", "n1"},
                            {"MASTER_PORT", "5000"},
                            {"SLURM_PROCID", "0"},
                            {"SLURM_NTASKS", "16"}});
  ASSERT_TRUE(hydra);
  EXPECT_EQ(hydra->rank, 1);
  EXPECT_EQ(hydra->size, 2);
}

TEST(LaunchEnvironment, RefusesWhatCannotBe) {
  const Variables refused[] = {
      {{"RANK", "0"}},
      {{"WORLD_SIZE", "4"}},
      {{"RANK", "0"}, {"WORLD_SIZE", "4"}},
      {{"RANK", "0"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "a"}},
      {{"RANK", "4"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "5"}},
      {{"RANK", "-1"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "5"}},
      {{"RANK", "x"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "5"}},
      {{"RANK", "0"}, {"WORLD_SIZE", "0"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "5"}},
      {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "99999"}},
  };
  for (const Variables& variables : refused) {
    const auto result = place(variables);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.status().code(), StatusCode::kBadConfiguration) << result.status().message();
  }
}

TEST(HostList, FirstHost) {
  EXPECT_EQ(first_host("node1"), "node1");
  EXPECT_EQ(first_host("node[01-04,07],gpu1"), "node01");
  EXPECT_EQ(first_host("node[7,9]"), "node7");
  EXPECT_EQ(first_host("rack[2-3]-node[5-9].example"), "rack2-node5.example");
  EXPECT_EQ(first_host("a,b"), "a");
  for (const char* bad : {"", "node[", "node[]", "node]", "node[a-b]", ",x"})
    EXPECT_EQ(first_host(bad), std::nullopt);
}

}  // namespace
}  // namespace weft::bootstrap
