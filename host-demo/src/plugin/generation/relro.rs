//! What a library's relocations have written to, backed by a file again.
//!
//! The dynamic loader writes addresses into a library's tables while it opens it, and then makes them read-only (`PT_GNU_RELRO`, see elf(5)).
//! From then on these pages are memory of this process alone; and of a library that is never closed, for ever. They never change again,
//! though. So they are copied into a file without a name beside the library, and mapped from there: the same bytes at the same place, which the
//! kernel may drop and read again. Android's dynamic linker does the same for what its processes share.

use std::{
    ffi::{CStr, CString, c_int, c_void},
    fs::{File, OpenOptions},
    io::{self, Write},
    ops::Range,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::Path,
    ptr,
};

/// Gives the memory of an open library back, as far as its relocations have written to it. Answers how many bytes that is.
///
/// # Errors
/// There is no such library, or no room or no way for such a file in its folder. Nothing has changed then.
pub fn give_back(library: &Path) -> io::Result<usize> {
    let pages = find(library).ok_or(io::ErrorKind::NotFound)?;
    let folder = library.parent().ok_or(io::ErrorKind::NotFound)?;
    let mut file = OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(folder)?;
    // SAFETY: the loader has mapped these pages and filled them, made them read-only, and never unmaps them: the library stays open.
    file.write_all(unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance(pages.start), pages.len()) })?;
    map_over(&pages, &file)?;
    Ok(pages.len())
}

/// Puts the content of a file in the place of pages that hold the same.
fn map_over(pages: &Range<usize>, file: &File) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
    let place = ptr::with_exposed_provenance_mut(pages.start);
    // SAFETY: the pages are whole ones of a library of ours that nobody writes to, and whoever reads them, at whatever moment, finds the same
    // bytes there: the kernel lets nobody in while it replaces a mapping (mmap(2), MAP_FIXED).
    let mapped = unsafe { libc::mmap(place, pages.len(), libc::PROT_READ, flags, file.as_raw_fd(), 0) };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What to look for among the libraries that are open, and what was found.
struct Search {
    library: CString,
    pages: Option<Range<usize>>,
}

/// The pages of an open library that the loader has made read-only again.
fn find(library: &Path) -> Option<Range<usize>> {
    let mut search = Search { library: CString::new(library.as_os_str().as_bytes()).ok()?, pages: None };
    // SAFETY: the callback is called before this returns, and with this pointer.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.pages.filter(|pages| !pages.is_empty())
}

/// Looks at one library. Answers other than zero where the search is over.
unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr(3) lends both for this call: the first is its own, the second what it was given above.
    let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
    // SAFETY: a library has a name, and as many headers as it says.
    let (name, headers) = unsafe {
        (CStr::from_ptr(info.dlpi_name), std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    if name != search.library.as_c_str() {
        return 0;
    }
    let relro = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO);
    search.pages = relro.map(|header| whole_pages(info.dlpi_addr + header.p_vaddr, header.p_memsz));
    1
}

/// The pages that the loader protects: both ends rounded down, as it does.
fn whole_pages(start: u64, length: u64) -> Range<usize> {
    let page = rustix::param::page_size() as u64;
    let down = |address: u64| (address - address % page) as usize;
    down(start)..down(start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_rounded_as_the_loader_does() {
        let page = rustix::param::page_size();
        let of = |start: usize, length: usize| whole_pages(start as u64, length as u64);
        assert_eq!(of(page, 3 * page), page..4 * page);
        assert_eq!(of(page + 8, 2 * page), page..3 * page);
        assert_eq!(of(page + 8, page / 2), page..page);
    }

    #[test]
    fn a_library_that_is_not_open_is_not_found() {
        assert_eq!(give_back(Path::new("/nowhere/x.so")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
