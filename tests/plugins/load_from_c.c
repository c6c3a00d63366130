/* Loads the plugin as NCCL does, from a program without any C++ in it: every table is there under its name, the
 * library survives dlclose (-z nodelete, as its thread may still run), and it brings no C++ run time into the process. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void check(int ok, const char* what) {
  if (!ok) {
    fprintf(stderr, "FAILED: %s\n", what);
    ++failures;
  }
}

/* Every version's table begins with its name. */
static void check_table(void* library, int version) {
  char symbol[32];
  snprintf(symbol, sizeof symbol, "ncclNetPlugin_v%d", version);
  const char* const* table = (const char* const*)dlsym(library, symbol);
  check(table != NULL, symbol);
  if (table) check(strcmp(table[0], "weft") == 0, "the table's name is weft");
}

int main(int argc, char** argv) {
  static const int versions[] = {6, 8, 9, 10, 11, 12};
  static const int others[] = {4, 5, 7, 13};
  if (argc != 2) {
    fprintf(stderr, "usage: %s PLUGIN.so\n", argv[0]);
    return 2;
  }
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "FAILED: %s\n", dlerror());
    return 1;
  }
  for (size_t i = 0; i < sizeof versions / sizeof *versions; ++i) check_table(library, versions[i]);
  for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
    char symbol[32];
    snprintf(symbol, sizeof symbol, "ncclNetPlugin_v%d", others[i]);
    check(dlsym(library, symbol) == NULL, symbol);
  }
  check(dlsym(library, "ncclCollNetPlugin_v8") == NULL, "no CollNet table");

  const char* const* table = (const char* const*)dlsym(library, "ncclNetPlugin_v12");
  int (*const* functions)(int*) = (int (*const*)(int*))table;
  int device_count = 0;
  check(dlclose(library) == 0, "dlclose");
  /* name, init, devices */
  check(functions[2](&device_count) == 0 && device_count == 1, "the code is still there after dlclose");

  if (!failures) printf("ok\n");
  return failures ? 1 : 0;
}
