# Reads one CMakeLists.txt as a script, up to its idf_component_register, and writes down what it requires. No configuration yet.
macro(idf_component_register)
  cmake_parse_arguments(_ "WHOLE_ARCHIVE" "KCONFIG;KCONFIG_PROJBUILD"
    "SRCS;SRC_DIRS;EXCLUDE_SRCS;INCLUDE_DIRS;PRIV_INCLUDE_DIRS;LDFRAGMENTS;REQUIRES;PRIV_REQUIRES;REQUIRED_IDF_TARGETS;EMBED_FILES;EMBED_TXTFILES"
    ${ARGN})
  set(_standin_registered 1)
  set(_standin_requires ${__REQUIRES} ${__PRIV_REQUIRES})
  return()
endmacro()

set(CMAKE_BUILD_EARLY_EXPANSION 1)
include("${COMPONENT_DIR}/CMakeLists.txt")
if(NOT _standin_registered)
  message(FATAL_ERROR "${COMPONENT_NAME} does not call idf_component_register")
endif()
file(WRITE "${OUTPUT}" "set(_standin_requires ${_standin_requires})\n")
