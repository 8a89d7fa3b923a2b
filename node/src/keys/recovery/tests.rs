//! Recovery keys as they are read and written; the files in `vectors` were made
//! by Python's `cryptography` package.

use std::fs;

use super::*;

const PUBLIC: &str = include_str!("vectors/key.pub");
const PLAIN: &str = include_str!("vectors/key");
const SEALED: &str = include_str!("vectors/key.sealed");
const PASSPHRASE: &str = "drei Bücher im Regal";

fn opened(text: &str, passphrase: Option<&str>) -> anyhow::Result<RecoveryKey> {
    let passphrase = passphrase.map(|words| Passphrase::new(words.as_bytes()).unwrap());
    RecoveryKey::opened(SecretFile::parse(text)?, passphrase.as_ref())
}

fn refused(text: &str) -> String {
    let parsed = SecretFile::parse(text).map(|file| file.public);
    parsed.unwrap_err().to_string()
}

/// Without remarks, which say nothing.
fn lines(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_key_is_written_as_another_implementation_writes_it() {
    let key = RecoveryKey::of([7; 32], [9; 32]);
    assert_eq!(lines(&key.to_text(None).unwrap()), PLAIN);
    assert_eq!(key.public.to_text(), PUBLIC);
    let (_, sealing) = SEALED.split_once("passphrase: ").unwrap();
    let sealing = Sealing::parse(sealing.lines().next().unwrap()).unwrap();
    let passphrase = Passphrase::new(PASSPHRASE.as_bytes()).unwrap();
    let sealed = key.to_text(Some((&passphrase, sealing))).unwrap();
    assert_eq!(lines(&sealed), SEALED);
}

#[test]
fn the_document_has_the_bytes_that_are_written() {
    let document = include_str!("../../../../docs/formats.md");
    for vector in [PUBLIC, PLAIN, SEALED] {
        assert!(document.contains(vector), "{vector}");
    }
}

#[test]
fn a_key_is_opened_with_its_passphrase_however_that_was_typed() {
    for words in [
        PASSPHRASE,
        "drei Bücher im Regal\n",
        "drei Bücher im Regal\r\n",
        "drei Bu\u{308}cher im Regal",
    ] {
        let key = opened(SEALED, Some(words)).unwrap();
        assert_eq!(*key.signing, [7; 32]);
        assert_eq!(key.reader[..], [9; 32]);
    }
    let error = opened(SEALED, Some("drei Bücher")).unwrap_err();
    assert_eq!(error.to_string(), "it has another passphrase");
    assert_eq!(
        opened(PLAIN, None).unwrap().public,
        PublicHalf::parse(PUBLIC).unwrap()
    );
}

#[test]
fn whoever_copies_a_key_by_hand_may_write_it_otherwise() {
    let copied = PLAIN
        .to_uppercase()
        .replace('\n', "  \r\n\r\n# of the drawer\r\n");
    let copied = format!("\u{feff}{}", copied.replace("07070707 ", "0707 0707"));
    assert_eq!(*opened(&copied, None).unwrap().signing, [7; 32]);
}

#[test]
fn a_key_that_was_printed_on_narrow_paper_is_read() {
    for (text, words) in [(PLAIN, None), (SEALED, Some(PASSPHRASE))] {
        let printed = text
            .replace(" 421eea69", "\n421eea69")
            .replace(" 090909", "\n  090909");
        let printed = printed.replace(" 954776ae", " 95\r\n\r\n4776ae");
        let printed = printed.replace(" aead=0003\nsecret", "\naead=0003\nsecret");
        assert_ne!(printed, text);
        assert_eq!(*opened(&printed, words).unwrap().signing, [7; 32]);
    }
    // What goes on is a part of the key, and checked with it.
    let more = refused(&PLAIN.replace("check: ", "00\ncheck: "));
    assert!(more.contains("a character of it is wrong"), "{more}");
    let more = refused(&format!("{PLAIN}more\n"));
    assert!(more.contains("`check:` is wrong"), "{more}");
}

#[test]
fn every_slip_of_the_pen_is_found() {
    for text in [PLAIN, SEALED, PUBLIC] {
        for (place, was) in text.char_indices() {
            let slips: &[char] = match was {
                '0'..='9' | 'a'..='f' => &['0', '8', 'e', 'x'],
                _ => &['x'],
            };
            for &slip in slips
                .iter()
                .filter(|&&slip| slip != was && !was.is_whitespace())
            {
                let mut slipped = text.to_owned();
                slipped.replace_range(place..=place, &slip.to_string());
                assert!(
                    parse_public(&slipped).is_err(),
                    "{slip} at {place}: {slipped}"
                );
            }
            let mut short = text.to_owned();
            short.remove(place);
            let is_digit = was.is_ascii_hexdigit();
            assert!(!is_digit || parse_public(&short).is_err(), "{short}");
        }
        for (number, _) in text.lines().enumerate() {
            let kept = text.lines().enumerate().filter(|(at, _)| *at != number);
            let kept: String = kept.map(|(_, line)| format!("{line}\n")).collect();
            assert!(parse_public(&kept).is_err(), "{kept}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_and_no_secret_with_it() {
    let copied = PLAIN.replace("secret: 0707", "secret: 07o7");
    assert!(refused(&copied).contains("`secret:` is wrong: character 3"));
    let copied = PLAIN.replace("secret: 0707", "secret: 0717");
    assert!(refused(&copied).contains("a character of it is wrong"));
    let copied = PLAIN.replace("recovery: c386", "recovery: c385");
    assert!(refused(&copied).contains("a character of it is wrong"));
    let copied = PLAIN.replace("reader-key: ", "");
    assert!(refused(&copied).contains("`reader-key:` should stand there is something else"));
    for kind in ["01", "+1", "0", "128"] {
        let copied = PLAIN.replace("signature-type: 1", &format!("signature-type: {kind}"));
        let said = refused(&copied);
        assert!(said.contains("`signature-type:` is wrong"), "{said}");
    }
    let copied = PLAIN.replace("key 1", "key 2");
    assert!(refused(&copied).contains("use a newer headwater"));
    assert!(refused(PUBLIC).contains("only the public half"));
    assert!(refused("ssh-ed25519 AAAA").contains("it is no recovery key"));
    assert!(refused(&"#\n".repeat(9_000)).contains("18000 bytes"));
    assert!(refused(&format!("{PLAIN}more: 1\n")).contains("something stands behind it"));
}

#[test]
fn a_file_that_would_take_the_memory_of_the_machine_is_refused() {
    for (cost, dear) in [
        ("m=64 ", "m=4294967295 "),
        ("m=64 ", "m=4 "),
        ("t=3 ", "t=4294967295 "),
        ("p=4 ", "p=65 "),
        ("p=4 ", "p=+4 "),
        ("v=19", "v=16"),
        ("aead=0003\nsecret", "aead=0001\nsecret"),
    ] {
        let said = refused(&SEALED.replace(cost, dear));
        assert!(said.contains("`passphrase:` is wrong"), "{said}");
    }
}

#[test]
fn what_stands_before_the_secret_is_sealed_with_it() {
    // Somebody else's reader key, and a checksum that fits.
    let mut file = SecretFile::parse(SEALED).unwrap();
    file.public.reader_key = vec![1; 32];
    let passphrase = Passphrase::new(PASSPHRASE.as_bytes()).unwrap();
    let forged = file.to_text().to_string();
    let error = RecoveryKey::opened(SecretFile::parse(&forged).unwrap(), Some(&passphrase));
    assert_eq!(error.unwrap_err().to_string(), "it has another passphrase");
    // Without a passphrase the keys are compared.
    for altered in [
        |public: &mut PublicHalf| public.reader_key = vec![1; 32],
        |public: &mut PublicHalf| public.signing_key = vec![1; 32],
    ] {
        let mut file = SecretFile::parse(PLAIN).unwrap();
        altered(&mut file.public);
        let error = opened(&file.to_text(), None).unwrap_err().to_string();
        assert!(error.contains("its secret is not that of its"), "{error}");
    }
}

#[test]
fn a_key_for_readers_of_a_later_kind_still_ends_streams() {
    let mut file = SecretFile::parse(PLAIN).unwrap();
    file.public.suite.kem = 0x647a;
    file.public.reader_key = vec![3; 1_216];
    let key = opened(&file.to_text(), None).unwrap();
    assert_eq!(
        key.public.recovery(),
        RecoveryKey::of([7; 32], [9; 32]).public.recovery()
    );
    let public = key.public.to_text();
    assert_eq!(recovery_hash(&public).unwrap(), key.public.recovery());

    let mut file = SecretFile::parse(PLAIN).unwrap();
    file.public.signature_type = 2;
    let error = opened(&file.to_text(), None).unwrap_err().to_string();
    assert!(error.contains("use a newer headwater"), "{error}");
}

#[test]
fn a_manifest_takes_the_hash_from_a_file_or_as_digits() {
    let hash = RecoveryKey::of([7; 32], [9; 32]).public.recovery();
    assert_eq!(recovery_hash(PUBLIC).unwrap(), hash);
    let digits = data_encoding::HEXLOWER.encode(&hash);
    assert_eq!(recovery_hash(&format!(" {digits}\n")).unwrap(), hash);
    assert_eq!(recovery_hash(&digits.to_uppercase()).unwrap(), hash);
    assert_eq!(recovery_hash(PLAIN), Err(FormError::IsSecret));
    assert_eq!(recovery_hash(&digits[1..]), Err(FormError::Other));
}

#[test]
fn a_key_is_read_as_it_was_made_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let made = RecoveryKey::create(&path, None).unwrap();
    let never = || -> anyhow::Result<Passphrase> { unreachable!("it has none") };
    let loaded = RecoveryKey::load(&path, never).unwrap();
    assert_eq!(
        (&loaded.signing, loaded.public()),
        (&made.signing, made.public())
    );
    let public = fs::read_to_string(public_path(&path)).unwrap();
    assert_eq!(&PublicHalf::parse(&public).unwrap(), made.public());
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["key", "key.pub"], "nothing else is left");

    let before = fs::read(&path).unwrap();
    let other = folder.path().join("other");
    fs::write(public_path(&other), "somebody's").unwrap();
    for path in [&path, &other] {
        let error = RecoveryKey::create(path, None).unwrap_err().to_string();
        assert!(error.contains("is not overwritten"), "{error}");
    }
    assert!(!other.exists());
    assert_eq!(fs::read(&path).unwrap(), before);
    // Between the look and the writing somebody else may come.
    assert!(put_new(&path, b"other", Access::Owner).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn the_secret_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    RecoveryKey::create(&path, None).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    // Its public half is a file like any other.
    let other = folder.path().join("other");
    fs::write(&other, "").unwrap();
    assert_eq!(mode(&public_path(&path)), mode(&other));
}

#[test]
fn a_passphrase_is_words_of_a_bounded_length() {
    let refused = |bytes: &[u8]| Passphrase::new(bytes).unwrap_err();
    assert_eq!(refused(b"\n"), PassphraseError::Empty);
    assert_eq!(refused(b"\xff"), PassphraseError::NoText);
    assert_eq!(refused(&[b'a'; 2_000]), PassphraseError::TooLong(2_000));
    assert_eq!(
        format!("{:?}", Passphrase::new(b"words").unwrap()),
        "Passphrase(…)"
    );
    let key = RecoveryKey::of([7; 32], [9; 32]);
    assert!(!format!("{key:?}").contains("7, 7, 7"), "{key:?}");
}
