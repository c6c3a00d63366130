# Nothing of ours needs a library to start that is opened at run time: no program names it, and no object calls a function
# of it directly, not even through an inline function of its headers.
#   ARCHIVE, PROGRAMS   what is looked at
#   OPENED_WITH         the function by which ARCHIVE finds the library's functions: dlsym, dlvsym
#   FUNCTIONS, LIBRARY  what the library's functions and its file are called, as regular expressions
#   TABLE               where ARCHIVE keeps the functions
execute_process(COMMAND "${NM}" --undefined-only "${ARCHIVE}" OUTPUT_VARIABLE undefined COMMAND_ERROR_IS_FATAL ANY)
if(NOT undefined MATCHES "${OPENED_WITH}")
  message(FATAL_ERROR "${ARCHIVE} does not open ${LIBRARY} at all? ${undefined}")
endif()
if(undefined MATCHES "[ _](${FUNCTIONS})")
  message(FATAL_ERROR "${ARCHIVE} calls ${CMAKE_MATCH_1} directly; take it from ${TABLE}")
endif()
foreach(program IN LISTS PROGRAMS)
  execute_process(COMMAND "${READELF}" --dynamic "${program}" OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
  if(NOT dynamic MATCHES "libc\\.so")
    message(FATAL_ERROR "${program}: nothing is needed? ${dynamic}")
  endif()
  if(dynamic MATCHES "${LIBRARY}")
    message(FATAL_ERROR "${program} needs ${LIBRARY} to start")
  endif()
endforeach()
