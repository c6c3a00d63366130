// A shared object that loads and is no network plugin.
extern "C" [[gnu::visibility("default")]] int weft_not_a_plugin() {
  return 0;
}
