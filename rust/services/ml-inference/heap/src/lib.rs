//! The C library's heap, which llama.cpp, ONNX Runtime and Rust share.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "a foreign function is declared")]
mod glibc {
    // SAFETY: the declaration is that of malloc.h. By malloc_trim(3) any thread may call it at any time with any number: it gives
    // pages back in which nothing is allocated, and changes nothing else.
    unsafe extern "C" {
        pub safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
}

/// Gives the pages of the heap in which nothing is allocated back to the machine; takes some milliseconds, in which others who
/// allocate may wait. glibc alone keeps them, between what is still allocated; elsewhere nothing is done.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::malloc_trim(0);
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    #[test]
    fn trim_gives_back_what_lies_free_between_what_is_allocated() {
        let resident_kib = || -> u64 {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        // 64 MiB; of each 64 KiB one block stays.
        let mut blocks: Vec<Option<Vec<u8>>> = (0..16_384).map(|_| Some(vec![1; 4096])).collect();
        blocks.iter_mut().enumerate().filter(|(index, _)| index % 16 != 0).for_each(|(_, block)| *block = None);
        let before = resident_kib();
        super::trim();
        let after = resident_kib();
        assert!(before > after + 32 * 1024, "{before} KiB before, {after} after");
        assert!(blocks.iter().flatten().all(|block| block.iter().all(|byte| *byte == 1)));
    }
}
