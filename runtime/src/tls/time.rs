//! Instants and spans of certificates as people read them.
//! Knows nothing about certificates.

use x509_parser::time::ASN1Time;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// `Nov 21 20:15:00 2026 +00:00`, of seconds since 1970.
pub(crate) fn date(seconds: u64) -> String {
    let seconds_signed = i64::try_from(seconds).unwrap_or(i64::MAX);
    let time = ASN1Time::from_timestamp(seconds_signed);
    time.map_or_else(
        |_| format!("{seconds} s since 1970"),
        |time| time.to_string(),
    )
}

/// How long that is, in the largest unit that says something.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(951_782_400), "Feb 29 00:00:00 2000 +00:00");
        assert_eq!(date(1_795_291_200), "Nov 21 20:00:00 2026 +00:00");
        assert_eq!(date(u64::MAX), "18446744073709551615 s since 1970");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(span(119), "119 s");
        assert_eq!(span(7_199), "119 min");
        assert_eq!(span(172_799), "47 h");
        assert_eq!(span(172_800), "2 days");
    }
}
