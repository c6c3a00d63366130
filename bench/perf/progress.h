// One line on a terminal that says how far a long run is. Silent where there is no terminal and for short
// runs.
#pragma once

#include <chrono>
#include <string>

namespace weft::bench {

class Progress {
 public:
  // `terminal` is a descriptor of a terminal, or -1.
  explicit Progress(int terminal);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap when it shows nothing: to be called between iterations.
  void show(const std::string& what, int done, int total);
  // Before anything else is printed.
  void clear();

 private:
  int terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point start_, next_;
};

}  // namespace weft::bench
