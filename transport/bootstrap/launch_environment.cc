#include "transport/bootstrap/launch_environment.h"

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "transport/bootstrap/host_list.h"
#include "transport/bootstrap/launcher_process.h"

namespace weft::bootstrap {
namespace {

std::optional<long> integer_from(const std::string& text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// FNV-1a. Every rank must compute the same port from the same text, in every build.
std::uint32_t stable_hash(std::string_view text) {
  std::uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

// A port for jobs that were given none; below the range from which the kernel takes ports for outgoing
// connections.
std::uint16_t port_for(const std::string& job_id) {
  constexpr std::uint32_t kFirst = 20000;
  constexpr std::uint32_t kPorts = 12000;
  return static_cast<std::uint16_t>(kFirst + stable_hash(job_id) % kPorts);
}

// One way in which launchers number their processes.
struct Numbering {
  const char* rank;
  const char* size;
  const char* launcher;
};

// MPI before Slurm: mpirun inside an allocation sees the variables of both, and its own are the right ones.
// torchrun and users come first, because they set RANK on purpose.
constexpr Numbering kNumberings[] = {{"RANK", "WORLD_SIZE", "RANK/WORLD_SIZE"},
                                     {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "mpirun"},
                                     {"PMI_RANK", "PMI_SIZE", "mpirun"}};
constexpr Numbering kSlurmStep{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "srun"};

// Set by launchers whose number of ranks is not understood: their processes must not run as single ones.
constexpr const char* kForeignRanks[] = {"PMIX_RANK",      "MV2_COMM_WORLD_RANK", "PALS_RANKID",
                                         "FLUX_TASK_RANK", "JSM_NAMESPACE_RANK",  "ALPS_APP_PE",
                                         "MPIRUN_RANK"};

class PlaceReader {
 public:
  PlaceReader(const Environment& environment, int launcher_process)
      : environment_(environment), launcher_process_(launcher_process) {}

  Result<JobPlace> read() {
    auto found = find_place();
    if (found && found->size == 1) {
      if (Status status = check_alone(); !status) return status;
    }
    return found;
  }

 private:
  static Status refuse(const std::string& what) { return {StatusCode::kBadConfiguration, what}; }

  Result<JobPlace> find_place() {
    for (const Numbering& numbering : kNumberings) {
      const auto rank = environment_(numbering.rank);
      const auto size = environment_(numbering.size);
      if (!rank && !size) continue;
      if (!rank || !size) {
        return refuse(std::string(rank ? numbering.rank : numbering.size) + " is set, but not " +
                      (rank ? numbering.size : numbering.rank) +
                      ": set both, or neither to run alone or with --ranks");
      }
      // srun --mpi=pmi2 sets both, and says more about where the ranks are.
      const bool by_srun = std::string_view(numbering.rank) == "PMI_RANK" &&
                           environment_(kSlurmStep.rank) == rank && environment_(kSlurmStep.size) == size;
      return place(by_srun ? kSlurmStep : numbering, *rank, *size);
    }
    return read_slurm();
  }

  // A process that takes itself for the only one, while a launcher says that it is one of several: left-over
  // variables, or a launcher within a launcher. Each would run a job of its own.
  Status check_alone() const {
    for (const Numbering& numbering : {kNumberings[1], kNumberings[2], kSlurmStep}) {
      const auto rank = environment_(numbering.rank);
      const auto size = environment_(numbering.size);
      if (!rank || !size || size == "1") continue;
      return refuse(std::string(numbering.launcher) + " started this process as one of several (" +
                    numbering.rank + "=" + *rank + ", " + numbering.size + "=" + *size +
                    "), but other variables say that it is alone: unset RANK and WORLD_SIZE (or those of " +
                    "the launcher that is not meant)");
    }
    for (const Numbering& numbering : kNumberings) {
      if (environment_(numbering.rank)) return Status::ok();
    }
    if (environment_(kSlurmStep.rank)) return Status::ok();
    for (const char* name : kForeignRanks) {
      const auto rank = environment_(name);
      if (!rank) continue;
      return refuse(std::string(name) + "=" + *rank +
                    " says that a launcher started this process, but not of how many: set RANK, WORLD_SIZE, "
                    "MASTER_ADDR and MASTER_PORT for each process (RANK=0 and WORLD_SIZE=1 to run alone)");
    }
    return Status::ok();
  }

  // Only srun sets SLURM_STEP_NODELIST; a batch script has SLURM_PROCID=0 and SLURM_NTASKS too, and is one
  // process.
  Result<JobPlace> read_slurm() {
    const auto rank = environment_("SLURM_PROCID");
    auto size = environment_("SLURM_STEP_NUM_TASKS");
    if (!size) size = environment_("SLURM_NTASKS");
    if (!rank && !size) return JobPlace{};
    if (size == "1") return JobPlace{};
    const bool under_srun = environment_("SLURM_STEP_NODELIST") || environment_("SLURM_STEP_NUM_TASKS");
    if (!rank || !size || (!under_srun && !has_master() && !environment_("WEFT_BOOTSTRAP"))) {
      const std::string set = size ? "SLURM_NTASKS=" + *size : "SLURM_PROCID=" + *rank;
      return Status(StatusCode::kUnreachable,
                    set + " is set, but srun did not start this process (there is no SLURM_" +
                        (under_srun ? "PROCID or SLURM_NTASKS" : "STEP_NODELIST") +
                        "): it would find no other rank. Start it with srun or with --ranks, or set RANK, "
                        "WORLD_SIZE, MASTER_ADDR and MASTER_PORT; to run alone, unset SLURM_NTASKS and "
                        "SLURM_PROCID");
    }
    return place({"SLURM_PROCID", "SLURM_NTASKS", "srun"}, *rank, *size);
  }

  bool has_master() const { return environment_("MASTER_ADDR") && environment_("MASTER_PORT"); }

  Result<JobPlace> place(const Numbering& numbering, const std::string& rank_text,
                         const std::string& size_text) {
    const auto rank = integer_from(rank_text);
    const auto size = integer_from(size_text);
    if (!size || *size < 1 || *size > Bootstrap::kMaxRanks) {
      return refuse(std::string(numbering.size) + "=" + size_text + " is not a number of ranks (1.." +
                    std::to_string(Bootstrap::kMaxRanks) + ")");
    }
    if (!rank || *rank < 0 || *rank >= *size) {
      return refuse(std::string(numbering.rank) + "=" + rank_text + " is not a rank below " + numbering.size +
                    "=" + size_text);
    }
    JobPlace place;
    place.rank = static_cast<int>(*rank);
    place.size = static_cast<int>(*size);
    place.launcher = numbering.launcher;
    const bool under_torchrun = environment_("TORCHELASTIC_RUN_ID").has_value();
    if (under_torchrun) place.launcher = "torchrun";
    place.job_id = job_id(place);
    if (place.size == 1) return place;
    if (Status status = find_master(place, under_torchrun); !status) return status;
    // torchrun calls every job "none" unless told otherwise, but gives no two of a host the same port.
    place.job_id += "@" + std::to_string(place.port);
    return place;
  }

  // Whatever the launcher calls the job; restarts under torchrun are jobs of their own.
  std::string job_id(const JobPlace& place) const {
    for (const char* name : {"WEFT_JOB_ID", "TORCHELASTIC_RUN_ID", "PMIX_NAMESPACE",
                             "OMPI_MCA_ess_base_jobid", "PMI_JOBID", "SLURM_JOB_ID"}) {
      const auto value = environment_(name);
      if (!value) continue;
      std::string id = *value;
      for (const char* part : {"TORCHELASTIC_RESTART_COUNT", "SLURM_STEP_ID"}) {
        if (const auto more = environment_(part)) id += "." + *more;
      }
      return id;
    }
    return place.launcher == "mpirun" && all_local(place) ? "process " + std::to_string(launcher_process_)
                                                          : "";
  }

  // Whether the launcher says that all ranks are on this host.
  bool all_local(const JobPlace& place) const {
    if (place.launcher == "srun") return environment_("SLURM_STEP_NUM_NODES") == "1";
    for (const char* name : {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}) {
      if (environment_(name) == std::to_string(place.size)) return true;
    }
    return false;
  }

  Status find_master(JobPlace& place, bool under_torchrun) const {
    if (const auto bootstrap = environment_("WEFT_BOOTSTRAP")) {
      const std::size_t colon = bootstrap->rfind(':');
      if (colon == std::string::npos || colon == 0) {
        return refuse("WEFT_BOOTSTRAP=" + *bootstrap + " is not host:port");
      }
      place.host = bootstrap->substr(0, colon);
      // [fe80::1]:29500
      if (place.host.front() == '[' && place.host.back() == ']')
        place.host = place.host.substr(1, place.host.size() - 2);
      return set_port(place, "WEFT_BOOTSTRAP", bootstrap->substr(colon + 1));
    }
    const auto address = environment_("MASTER_ADDR");
    const auto port = environment_("MASTER_PORT");
    if (address && port) {
      place.host = *address;
      if (Status status = set_port(place, "MASTER_PORT", *port); !status) return status;
      // The agent's own store holds that port, and speaks another language.
      if (under_torchrun && environment_("TORCHELASTIC_USE_AGENT_STORE") == "True") {
        place.port = place.port < 65535 ? static_cast<std::uint16_t>(place.port + 1) : 1024;
      }
      return Status::ok();
    }
    if ((place.launcher == "srun" || place.launcher == "mpirun") && all_local(place)) {
      place.host = "127.0.0.1";
    } else if (place.launcher == "srun") {
      const auto nodes = environment_("SLURM_STEP_NODELIST");
      const auto first = nodes ? first_host(*nodes) : std::nullopt;
      if (first) place.host = *first;
    }
    if (place.host.empty()) return refuse(no_master(place, address.has_value()));
    if (port) return set_port(place, "MASTER_PORT", *port);
    place.port = port_for(place.job_id);
    return Status::ok();
  }

  static Status set_port(JobPlace& place, const char* name, const std::string& text) {
    const auto port = integer_from(text);
    if (!port || *port < 1 || *port > 65535) {
      return refuse(std::string(name) + ": \"" + text + "\" is not a port (1..65535)");
    }
    place.port = static_cast<std::uint16_t>(*port);
    return Status::ok();
  }

  static std::string no_master(const JobPlace& place, bool has_address) {
    std::string text = "this process is rank " + std::to_string(place.rank) + " of " +
                       std::to_string(place.size) + " (" + place.launcher +
                       "), but nothing says where rank 0 is: set ";
    text += has_address ? "MASTER_PORT to a free port there"
                        : "MASTER_ADDR to the host of rank 0 and MASTER_PORT to a free port there";
    if (place.launcher == "mpirun") {
      text +=
          ", for all ranks: mpirun -x MASTER_ADDR=host -x MASTER_PORT=29500 (Open MPI), mpirun -genv "
          "MASTER_ADDR host -genv MASTER_PORT 29500 (MPICH)";
    }
    return text + "; or WEFT_BOOTSTRAP=host:port";
  }

  const Environment& environment_;
  int launcher_process_;
};

}  // namespace

Result<JobPlace> place_from(const Environment& environment, int launcher_process) {
  return PlaceReader(environment, launcher_process).read();
}

}  // namespace weft::bootstrap

namespace weft {

Result<JobPlace> JobPlace::from_environment() {
  const auto environment = [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
  constexpr const char* kMpiRanks[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK"};
  return bootstrap::place_from(environment, bootstrap::launcher_process(kMpiRanks));
}

}  // namespace weft
