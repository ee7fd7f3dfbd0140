# Flags for everything that is written in C, by compiler.

# The numerics contract (docs/spec/numerics.md): every operation rounds on its own. The sources ask for it too (contract.h); only
# MSVC before Visual Studio 2022 needs the option.
if(MSVC AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
  if(MSVC_VERSION GREATER_EQUAL 1930)
    set(AETHER_CONTRACT /fp:precise)
  else()
    set(AETHER_CONTRACT /fp:strict)
  endif()
  set(AETHER_WARNINGS /W3)
  set(AETHER_AVX2 /arch:AVX2)
  set(AETHER_AVX512 /arch:AVX512)
elseif(MSVC) # clang-cl
  set(AETHER_CONTRACT /fp:precise /clang:-ffp-contract=off)
  set(AETHER_WARNINGS -Wall -Wextra)
  set(AETHER_AVX2 -mavx2 -mf16c)
  set(AETHER_AVX512 -mavx512f -mavx512bw -mavx512dq -mavx512vl)
else()
  set(AETHER_CONTRACT -ffp-contract=off)
  set(AETHER_WARNINGS -Wall -Wextra -Wconversion -Wdouble-promotion -Wshadow -Wstrict-prototypes -Wvla)
endif()
if(AETHER_WERROR)
  list(APPEND AETHER_WARNINGS $<IF:$<C_COMPILER_ID:MSVC>,/WX,-Werror>)
endif()

# GCC and Clang find the instruction set of these files in the sources (lane.h). Of MSVC's options for it, only x86-64 knows any.
function(aether_instruction_sets avx2 avx512)
  if(MSVC AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set_source_files_properties("${avx2}" PROPERTIES COMPILE_OPTIONS "${AETHER_AVX2}")
    set_source_files_properties("${avx512}" PROPERTIES COMPILE_OPTIONS "${AETHER_AVX512}")
  endif()
endfunction()
