//! What can be told of a shared library from its bytes alone: whether it is whole, for this machine, and a library; and
//! its manifest note. See elf(5).
//!
//! The dynamic loader maps what the headers promise and is killed by SIGBUS or worse where the file is shorter, so
//! every range that a header names is compared with the size first.

use object::{
    NativeEndian,
    elf::{self, DF_1_PIE, DT_FLAGS_1, PT_INTERP, SHT_NOBITS, SHT_NULL, SHT_STRTAB},
    read::elf::{Dyn, FileHeader, NoteIterator, ProgramHeader, SectionHeader},
};
use plugin_api::manifest::{NOTE_NAME, NOTE_TYPE};

use super::refusal::Refusal;

#[cfg(target_pointer_width = "64")]
type Header = elf::FileHeader64<NativeEndian>;
#[cfg(target_pointer_width = "32")]
type Header = elf::FileHeader32<NativeEndian>;
type Segment = <Header as FileHeader>::ProgramHeader;
type Section = <Header as FileHeader>::SectionHeader;

const MAGIC: &[u8] = b"\x7fELF";
const ARCHIVE_MAGIC: &[u8] = b"!<arch>\n";
const HERE: NativeEndian = NativeEndian;

/// A whole shared library for this machine.
pub struct Library<'data> {
    bytes: &'data [u8],
    segments: &'data [Segment],
    sections: &'data [Section],
}

impl<'data> Library<'data> {
    /// Checks the headers and everything that they point to.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(bytes: &'data [u8]) -> Result<Library<'data>, Refusal> {
        check_magic(bytes)?;
        check_machine(bytes)?;
        check_extent(bytes, "the ELF header", 0, size_of::<Header>() as u64)?;
        let header = Header::parse(bytes).map_err(damaged)?;
        check_type(header)?;
        let segments = segments(header, bytes)?;
        let sections = sections(header, bytes)?;
        let library = Library { bytes, segments, sections };
        library.check_contents(header)?;
        library.check_is_no_program()?;
        Ok(library)
    }

    /// The descriptor of the manifest note, if there is one.
    pub fn manifest_note(&self) -> Option<&'data [u8]> {
        let in_segments = self.segments.iter().filter_map(|segment| segment.notes(HERE, self.bytes).ok().flatten());
        let in_sections = self.sections.iter().filter_map(|section| section.notes(HERE, self.bytes).ok().flatten());
        in_segments.chain(in_sections).find_map(plugin_note)
    }

    fn check_contents(&self, header: &Header) -> Result<(), Refusal> {
        for segment in self.segments {
            let (offset, size) = segment.file_range(HERE);
            check_extent(self.bytes, "program segments", offset, size)?;
        }
        for section in self.sections {
            if !matches!(section.sh_type(HERE), SHT_NOBITS | SHT_NULL) {
                check_extent(self.bytes, "sections", section.sh_offset(HERE), section.sh_size(HERE))?;
            }
        }
        // The names of the sections come last in the file, with their headers: zeros are what a copy leaves that
        // made the room first and never came to fill it.
        let names = header.shstrndx(HERE, self.bytes).map_err(damaged)? as usize;
        match self.sections.get(names) {
            Some(section) if section.sh_type(HERE) != SHT_STRTAB => {
                Err(Refusal::Damaged("the section headers at its end are blank or scrambled".into()))
            }
            _ => Ok(()),
        }
    }

    /// A position-independent program has the type of a library too.
    fn check_is_no_program(&self) -> Result<(), Refusal> {
        let starts_itself = self.segments.iter().any(|segment| {
            let says_so = |entries: &[<Header as FileHeader>::Dyn]| {
                entries.iter().any(|entry| {
                    let flags = entry.d_val(HERE);
                    entry.d_tag(HERE) == DT_FLAGS_1 && flags & DF_1_PIE.0 != 0
                })
            };
            segment.p_type(HERE) == PT_INTERP || segment.dynamic(HERE, self.bytes).ok().flatten().is_some_and(says_so)
        });
        if starts_itself { Err(Refusal::NotALibrary("a program")) } else { Ok(()) }
    }
}

fn plugin_note<'data>(mut notes: NoteIterator<'data, Header>) -> Option<&'data [u8]> {
    while let Ok(Some(note)) = notes.next() {
        if note.name() == NOTE_NAME.as_bytes() && note.n_type(HERE).0 == NOTE_TYPE {
            return Some(note.desc());
        }
    }
    None
}

fn damaged(cause: object::Error) -> Refusal {
    Refusal::Damaged(cause.to_string())
}

fn check_magic(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.is_empty() {
        Err(Refusal::Empty)
    } else if bytes.starts_with(ARCHIVE_MAGIC) {
        Err(Refusal::Archive)
    } else if bytes.starts_with(MAGIC) {
        Ok(())
    } else {
        let start = &bytes[..bytes.len().min(16)];
        Err(Refusal::NotElf { starts: start.escape_ascii().to_string() })
    }
}

/// Compares class, byte order and processor with those of this host.
fn check_machine(bytes: &[u8]) -> Result<(), Refusal> {
    let Some(&[class, order, ..]) = bytes.get(4..20) else {
        return check_extent(bytes, "the ELF header", 0, size_of::<Header>() as u64);
    };
    let machine = [bytes[18], bytes[19]];
    let machine = if order == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    let host_class = if cfg!(target_pointer_width = "64") { 2 } else { 1 };
    let host_order = if cfg!(target_endian = "big") { 2 } else { 1 };
    let same_processor = processor(machine) == std::env::consts::ARCH || !is_known(std::env::consts::ARCH);
    if class == host_class && order == host_order && same_processor {
        return Ok(());
    }
    Err(Refusal::Machine {
        file: describe(processor(machine), class, order),
        host: describe(std::env::consts::ARCH, host_class, host_order),
    })
}

fn describe(processor: &str, class: u8, order: u8) -> String {
    let bits = if class == 2 { 64 } else { 32 };
    let order = if order == 2 { "big" } else { "little" };
    format!("{processor} ({bits} bit, {order}-endian)")
}

/// The name that Rust gives to the processor with this number (`e_machine`).
fn processor(machine: u16) -> &'static str {
    MACHINES.iter().find(|(number, _)| *number == machine).map_or("an unknown processor", |(_, name)| name)
}

fn is_known(arch: &str) -> bool {
    MACHINES.iter().any(|(_, name)| *name == arch)
}

const MACHINES: [(u16, &str); 10] = [
    (elf::EM_386.0, "x86"),
    (elf::EM_X86_64.0, "x86_64"),
    (elf::EM_ARM.0, "arm"),
    (elf::EM_AARCH64.0, "aarch64"),
    (elf::EM_RISCV.0, "riscv64"),
    (elf::EM_PPC64.0, "powerpc64"),
    (elf::EM_S390.0, "s390x"),
    (elf::EM_MIPS.0, "mips"),
    (elf::EM_SPARCV9.0, "sparc64"),
    (elf::EM_LOONGARCH.0, "loongarch64"),
];

fn check_type(header: &Header) -> Result<(), Refusal> {
    match header.e_type(HERE) {
        elf::ET_DYN => Ok(()),
        elf::ET_EXEC => Err(Refusal::NotALibrary("a program")),
        elf::ET_REL => Err(Refusal::NotALibrary("an object file (.o)")),
        elf::ET_CORE => Err(Refusal::NotALibrary("a core dump")),
        _ => Err(Refusal::NotALibrary("an ELF file of unknown type")),
    }
}

fn segments<'data>(header: &Header, bytes: &'data [u8]) -> Result<&'data [Segment], Refusal> {
    let count = u64::from(header.phnum(HERE, bytes).map_err(damaged)?);
    let size = count * size_of::<Segment>() as u64;
    check_extent(bytes, "program headers", header.e_phoff(HERE), size)?;
    let segments = header.program_headers(HERE, bytes).map_err(damaged)?;
    if segments.is_empty() { Err(Refusal::Damaged("it has no program headers".into())) } else { Ok(segments) }
}

fn sections<'data>(header: &Header, bytes: &'data [u8]) -> Result<&'data [Section], Refusal> {
    let offset = header.e_shoff(HERE);
    if offset == 0 {
        // Stripped of them altogether: the loader needs none.
        return Ok(&[]);
    }
    if header.e_shnum(HERE) == 0 {
        // Too many for the header to count: the first of them holds the count.
        check_extent(bytes, "section headers", offset, size_of::<Section>() as u64)?;
    }
    let count = u64::from(header.shnum(HERE, bytes).map_err(damaged)?);
    check_extent(bytes, "section headers", offset, count * size_of::<Section>() as u64)?;
    header.section_headers(HERE, bytes).map_err(damaged)
}

fn check_extent(bytes: &[u8], part: &'static str, offset: u64, size: u64) -> Result<(), Refusal> {
    let has = bytes.len() as u64;
    match offset.checked_add(size) {
        Some(ends) if ends <= has => Ok(()),
        Some(ends) => Err(Refusal::Truncated { part, ends, has }),
        None => Err(Refusal::Damaged(format!("its {part} have impossible sizes"))),
    }
}

#[cfg(test)]
pub mod tests {
    use std::{path::PathBuf, sync::OnceLock};

    use super::*;

    /// A real library of this machine: the compiler's own, which every Rust process has mapped.
    pub fn real_library() -> &'static [u8] {
        static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
        BYTES.get_or_init(|| std::fs::read(mapped("libgcc_s.so")).unwrap())
    }

    fn mapped(name: &str) -> PathBuf {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.contains(name)).expect("the library is mapped");
        PathBuf::from(&line[line.find('/').expect("a mapping of a file names it")..])
    }

    /// The real library with a manifest note in the place of its build id.
    pub fn plugin_bytes(manifest: &str) -> Vec<u8> {
        let mut bytes = real_library().to_vec();
        let at = bytes.windows(16).position(|window| window == BUILD_ID_NOTE).expect("the library has a build id");
        // There is no room for a manifest in its place: the segment is made to point behind the end of the file.
        let note = note(manifest.as_bytes());
        let segment = note_segment(&bytes, at as u64);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let end = bytes.len() as u64;
        bytes.extend_from_slice(&note);
        bytes[segment + 8..segment + 16].copy_from_slice(&end.to_ne_bytes());
        bytes[segment + 32..segment + 40].copy_from_slice(&(note.len() as u64).to_ne_bytes());
        bytes
    }

    /// Sizes of name and descriptor, type 3, name `GNU`.
    const BUILD_ID_NOTE: [u8; 16] = *b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";

    fn note(descriptor: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [NOTE_NAME.len() as u32 + 1, descriptor.len() as u32, NOTE_TYPE] {
            note.extend_from_slice(&word.to_ne_bytes());
        }
        note.extend_from_slice(b"plugin\0\0");
        note.extend_from_slice(descriptor);
        note.resize(note.len().next_multiple_of(4), 0);
        note
    }

    fn note_segment(bytes: &[u8], offset: u64) -> usize {
        let header = Header::parse(bytes).unwrap();
        let table: u64 = header.e_phoff(HERE);
        let segments = header.program_headers(HERE, bytes).unwrap();
        let index = segments
            .iter()
            .position(|segment| segment.p_type(HERE) == elf::PT_NOTE && segment.p_offset(HERE) == offset)
            .expect("the build id has a segment");
        table as usize + index * size_of::<Segment>()
    }

    fn refusal(bytes: &[u8]) -> Refusal {
        Library::check(bytes).err().expect("the bytes are refused")
    }

    #[test]
    fn a_real_library_passes_and_has_no_manifest() {
        assert!(Library::check(real_library()).unwrap().manifest_note().is_none());
    }

    #[test]
    fn a_manifest_note_is_found() {
        let bytes = plugin_bytes("id=hello\n");
        assert_eq!(Library::check(&bytes).unwrap().manifest_note(), Some(&b"id=hello\n"[..]));
    }

    #[test]
    fn every_truncation_is_refused_as_one() {
        let whole = real_library();
        for length in (512..whole.len()).step_by(512).chain([1, 4, 5, 19, 20, 63, 64, whole.len() - 1]) {
            let refusal = refusal(&whole[..length]);
            let expected =
                length < MAGIC.len() || matches!(refusal, Refusal::Truncated { has, .. } if has == length as u64);
            assert!(expected, "{length}: {refusal}");
        }
        let header = Header::parse(whole).unwrap();
        let ends = header.e_shoff(HERE) + 64 * u64::from(header.e_shnum(HERE));
        assert_eq!(
            refusal(&whole[..4_096]).to_string(),
            format!("truncated: section headers end at {ends}, file has 4096: copy it again, completely")
        );
    }

    #[test]
    fn a_tail_of_zeros_is_refused() {
        for from in [4_096, real_library().len() / 2, real_library().len() - 4_096] {
            let mut bytes = real_library().to_vec();
            bytes[from..].fill(0);
            assert!(matches!(refusal(&bytes), Refusal::Damaged(_)), "{from}");
        }
    }

    #[test]
    fn other_machines_are_named() {
        let patched = |at: usize, value: u8| {
            let mut bytes = real_library().to_vec();
            bytes[at] = value;
            refusal(&bytes).to_string()
        };
        let arch = std::env::consts::ARCH;
        assert!(patched(18, 183 ^ u8::from(arch == "aarch64")).contains(&format!("this host is {arch}")));
        assert!(patched(4, 1).contains("(32 bit, little-endian), this host is"));
        assert!(patched(5, 2).contains("(64 bit, big-endian), this host is"));
    }

    #[test]
    fn what_is_no_library_is_named() {
        assert_eq!(refusal(b""), Refusal::Empty);
        assert_eq!(refusal(b"hello, world\n"), Refusal::NotElf { starts: "hello, world\\n".into() });
        assert_eq!(refusal(b"!<arch>\nfoo.o/"), Refusal::Archive);
        let program = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(refusal(&program), Refusal::NotALibrary("a program"));
        let mut object = real_library().to_vec();
        object[16] = 1;
        assert_eq!(refusal(&object), Refusal::NotALibrary("an object file (.o)"));
    }

    #[test]
    fn scrambled_headers_never_panic() {
        let whole = real_library();
        let mut state = 1_u64;
        for _ in 0..2_000 {
            let mut bytes = whole.to_vec();
            for _ in 0..4 {
                // A linear congruential generator (Knuth's MMIX): the same run every time.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 33) as usize % 1_024;
                bytes[at] = (state >> 24) as u8;
            }
            if let Ok(library) = Library::check(&bytes) {
                library.manifest_note();
            }
        }
    }
}
