// Opens a plugin's shared object and picks its function table as NCCL does: RTLD_NOW, the highest version
// first.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/conform/net_plugin.h"

namespace weft::bench::conform {

class PluginLibrary {
 public:
  // Throws std::runtime_error with the loader's words when the file cannot be opened.
  explicit PluginLibrary(const std::string& path);
  ~PluginLibrary();
  PluginLibrary(const PluginLibrary&) = delete;
  PluginLibrary& operator=(const PluginLibrary&) = delete;

  // The versions that the file exports, highest first.
  std::vector<int> versions() const;
  // Null when the file does not export that version. 0 stands for the highest.
  std::unique_ptr<NetPlugin> table(int abi) const;
  // Closes the file as NCCL does after the last communicator; false if the loader reports an error.
  bool close();

 private:
  void* handle_;
};

}  // namespace weft::bench::conform
