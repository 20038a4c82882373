import com.pixelmed.validate.DicomSRValidator;

/** PixelMed's own command checks one file, and takes five seconds to load its rules: this one checks several. */
class CheckReports {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String path : paths) {
            System.out.println("Report: " + path);
            System.out.print(validator.validate(path));
        }
    }
}
